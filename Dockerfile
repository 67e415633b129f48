# docker build -t tfprune .
# docker run --rm -v "$PWD/saved_models:/tfprune/saved_models" tfprune            the quick start
# docker run --rm -v "$PWD:/data" tfprune tfprune train --dataset /data/my_table.csv --label species --out /data/runs
FROM python:3.13-slim
WORKDIR /tfprune
COPY requirements.txt ./
RUN pip install --no-cache-dir --no-deps --require-hashes --requirement requirements.txt
COPY . .
RUN pip install --no-cache-dir --no-deps .
ENV TF_CPP_MIN_LOG_LEVEL=2
CMD ["tfprune", "train", "--dataset", "penguins", "--method", "dynamic"]
