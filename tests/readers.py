"""How a person reads each format with the library that it is for, and without this package."""

# format -> code that makes `answers`, the probabilities, of `path` and `x`
READERS = {
    "savedmodel": """
import tensorflow as tf
model = tf.saved_model.load(path)
answers = model.signatures["model_inputs"](inputs=tf.constant(x))["probabilities"].numpy()
""",
    "tflite": """
from ai_edge_litert.interpreter import Interpreter
answers = Interpreter(path).get_signature_runner()(inputs=x)["probabilities"]
""",
    "onnx": """
import onnxruntime
answers = onnxruntime.InferenceSession(path).run(["probabilities"], {"inputs": x})[0]
""",
    "h5": """
import keras
logits = keras.saving.load_model(path, compile=False)(x)
answers = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
""",
    "keras": """
import keras
logits = keras.saving.load_model(path)(x)
answers = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
""",
}
