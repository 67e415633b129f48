"""What Keras 3 does with a trained model, on pruned ones: `KERAS_BACKEND=jax python tests/adapters/keras3/tools.py`.

Export, quantization, low-rank updates, distillation, several devices. All checks, or those that are named; a line for
each that fails, or what it had to leave out, and exit code 1.
"""

import contextlib
import importlib.util
import io
import os
import subprocess
import sys
import warnings

import numpy as np
from checking import BACKEND, Watch, X, Y, keras, kernels, layers, loss, main, net, said, zeros

import tfprune
from tfprune.adapters import adapter_of
from tfprune.utils.errors import TfpruneError

FORMATS = {  # of `model.export` -> what each needs on which backend; where Keras has none, it is not here
    "tf_saved_model": {"tensorflow": "tensorflow", "jax": "tensorflow"},
    "onnx": {"tensorflow": "tf2onnx", "jax": "jax2onnx", "torch": "onnxscript"},
    "litert": {"tensorflow": "ai_edge_litert", "torch": "litert_torch"},
    "openvino": {"tensorflow": "openvino", "torch": "openvino"},  # JAX: OpenVINO has no XlaCallModule
}


# -- export -----------------------------------------------------------------------------------------------------------


def _saved_model(path):
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    return loaded.serve(X), [own.numpy() for own in loaded.variables]


def _onnx(path):
    import onnx
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    (found,) = session.run(None, {session.get_inputs()[0].name: X})
    return found, [onnx.numpy_helper.to_array(own) for own in onnx.load(path).graph.initializer]


def _litert(path):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # Without its faster kernels, so that tensors can be read.
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), experimental_op_resolver_type=plain)
    [given], [out] = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], X.shape)
    interpreter.allocate_tensors()
    names = {own["name"]: own["index"] for own in interpreter.get_tensor_details()}
    kernels = [interpreter.get_tensor(index) for name, index in names.items() if "MatMul" in name and ";" not in name]
    interpreter.set_tensor(given["index"], X)
    interpreter.invoke()
    return interpreter.get_tensor(out["index"]), kernels


def _openvino(path):
    import openvino

    model = openvino.Core().read_model(path)
    found = next(iter(openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(X).values()))
    return found, [own.data for own in model.get_ops() if own.get_type_name() == "Constant"]


READERS = {"tf_saved_model": _saved_model, "onnx": _onnx, "litert": _litert, "openvino": _openvino}
ENDINGS = {"tf_saved_model": "", "onnx": ".onnx", "litert": ".tflite", "openvino": ".xml"}


def check_export(folder):
    model, held = tfprune.prune(net(), 0.5), net()
    for own in (model, held):
        own(X)  # Keras writes no ONNX of a model that was never called
    held.fit(X, Y, epochs=3, verbose=0, callbacks=tfprune.callbacks(held, sparsity=0.5, epochs=3))
    for kind, needed in FORMATS.items():
        if BACKEND not in needed or importlib.util.find_spec(needed[BACKEND]) is None:
            print(f"{kind}:", f"{needed[BACKEND]} is not installed" if BACKEND in needed else f"none on {BACKEND}")
            continue
        for name, own in (("pruned", model), ("held", held)):
            path = folder / f"{name}{ENDINGS[kind]}"
            own.export(str(path), format=kind, verbose=False)
            found, tensors = READERS[kind](path)
            counted = sum(int((tensor == 0).sum()) for tensor in tensors if tensor.ndim > 1)
            assert counted == 88, (kind, name, counted, [tensor.shape for tensor in tensors])
            expected = keras.ops.convert_to_numpy(own(X))
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5, err_msg=f"{kind} {name}")


# -- what changes layers ----------------------------------------------------------------------------------------------


def _stands_for(layer):
    """Returns what the integers of a quantized layer's kernel stand for, but for the scale."""
    values = np.asarray(keras.ops.convert_to_numpy(layer.kernel), np.int32)
    if getattr(layer, "kernel_zero", None) is None:
        return values
    zero, group = (np.asarray(keras.ops.convert_to_numpy(own), np.int32) for own in (layer.kernel_zero, layer.g_idx))
    return values - zero[group]


def check_quantized_models_keep_their_zeros(folder):
    for mode in ("int8", "int4"):
        for held in (False, True):
            model = net()
            if held:
                model.fit(X, Y, epochs=3, verbose=0, callbacks=tfprune.callbacks(model, sparsity=0.5, epochs=3))
            else:
                model = tfprune.prune(model, 0.5)
            gone = [own == 0 for own in kernels(model)]
            before = model.predict(X, verbose=0)
            model.quantize(mode)
            after = model.predict(X, verbose=0)
            assert np.abs(before - after).max() < 0.35 * np.abs(before).max(), mode
            model.save(folder / "q.keras")
            if mode == "int8":
                table = tfprune.summary(model)
                assert table.sparsity >= 0.5, table  # small ones are rounded to zero
            for own in (model, keras.models.load_model(folder / "q.keras")):
                for layer, off in zip(own.layers, gone, strict=True):
                    values = _stands_for(layer)
                    assert not values[off].any() and values.any(), (mode, held, layer.name)


def check_a_quantized_model_is_not_pruned_without_a_word(folder):
    model = net()
    model.quantize("int8")
    try:
        tfprune.prune(model, 0.5)
    except TfpruneError as error:
        assert "no layer left to prune" in str(error) or "quantized" in str(error), error
    else:
        raise AssertionError("integers were pruned")


def check_distillation(folder):
    if not hasattr(keras, "distillation"):
        return
    teacher, student = net(units=32), net()
    distiller = keras.distillation.Distiller(
        teacher=teacher, student=student, distillation_losses=keras.distillation.LogitsDistillation()
    )
    distiller.compile("adam", loss(), metrics=["accuracy"])
    before = [own.copy() for own in teacher.get_weights()]
    watch = Watch()
    distiller.build((None, 8))
    pruning = tfprune.callbacks(distiller, sparsity=0.5, epochs=3, exclude=["frozen"])  # the teacher
    distiller.fit(X, Y, 16, 3, verbose=0, callbacks=[*pruning, watch])
    assert zeros(distiller.student) == 88, zeros(distiller.student)
    assert zeros(teacher) == 0
    for one, other in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def check_low_rank_updates(folder):
    model = net()
    model.fit(X, Y, verbose=0)
    model.get_layer("a").enable_lora(2)
    model.compile("adam", loss())
    names = list(adapter_of(model).attach(model).kernels())
    adapter_of(model).detach(model)
    assert names == ["a/kernel", "b/kernel"], names
    base = keras.ops.convert_to_numpy(model.get_layer("a")._kernel)
    trained, text = said(lambda: tfprune.train(model, (X, Y), sparsity=0.5, epochs=3, verbose=0))
    layer = trained.model.get_layer("a")
    kernel = keras.ops.convert_to_numpy(layer._kernel)
    assert (kernel == 0).sum() == 64 and np.array_equal(kernel[kernel != 0], base[kernel != 0])
    low = [keras.ops.convert_to_numpy(own) for own in (layer.lora_kernel_a, layer.lora_kernel_b)]
    assert all(own.all() for own in low)
    assert "low-rank" in text, text  # what is saved is not sparse
    model.get_layer("b")  # the original is as it was
    included = tfprune.train(model, (X, Y), sparsity=0.5, epochs=3, verbose=0, include=["a/lora_kernel_a"])
    assert "a/lora_kernel_a" in included.masks and "a/lora_kernel_b" not in included.masks, list(included.masks)
    excluded = tfprune.train(model, (X, Y), sparsity=0.5, epochs=3, verbose=0, exclude=["frozen"])
    assert list(excluded.masks) == ["b/kernel"], list(excluded.masks)


def check_low_rank_updates_of_a_pruned_layer(folder):
    for held in (False, True):
        model = net()
        if held:
            model.fit(X, Y, epochs=3, verbose=0, callbacks=tfprune.callbacks(model, sparsity=0.5, epochs=3))
        else:
            model = tfprune.prune(model, 0.5)
        before = [own.copy() for own in kernels(model)]
        model.get_layer("a").enable_lora(2)
        model.compile("adam", loss())
        model.fit(X, Y, epochs=2, verbose=0)
        layer = model.get_layer("a")
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer._kernel), before[0])  # frozen
        assert keras.ops.convert_to_numpy(layer.lora_kernel_b).any(), "nothing was trained"
        if held:
            after = keras.ops.convert_to_numpy(model.get_layer("b").kernel)
            assert not after[before[1] == 0].any() and not np.array_equal(after, before[1])
        model.save(folder / "l.keras")  # the sum of the kernel and its update
        loaded = keras.models.load_model(folder / "l.keras")
        again = tfprune.train(loaded, (X, Y), sparsity=0.5, epochs=3, verbose=0, exclude=["frozen"])
        assert again.sparsity == 0.5


# -- quantization that goes by data -----------------------------------------------------------------------------------


def check_quantization_by_examples(folder):
    """GPTQ makes up for the error of a weight in those after it, pruned ones too, which are then rounded."""
    for mode, kind, bits in (("gptq", "GPTQConfig", 4), ("gptq", "GPTQConfig", 8), ("awq", "AWQConfig", 4)):
        if not hasattr(keras.quantizers, kind):
            print(f"this Keras has no {mode}")
            continue
        keras.utils.set_random_seed(0)
        inputs = layers.Input((8,), dtype="int32")
        lookup = layers.Embedding(20, 64)
        block = keras.Sequential([layers.Input((8, 64)), layers.Dense(96, "relu"), layers.Dense(64)])
        model = tfprune.prune(keras.Model(inputs, block(lookup(inputs))), 0.5)
        [lookup, block] = model.layers[1:]
        gone = [np.asarray(keras.ops.convert_to_numpy(own.kernel)) == 0 for own in block.layers]
        config = getattr(keras.quantizers, kind)(
            dataset=np.random.default_rng(0).integers(0, 20, (16, 8)),
            tokenizer=lambda text: text,
            weight_bits=bits,
            num_samples=16,
            sequence_length=8,
            group_size=-1,
            quantization_layer_structure={"pre_block_layers": [lookup], "sequential_blocks": [block]},
        )
        with contextlib.redirect_stdout(io.StringIO()):
            model.quantize(mode, config=config)
        kept = [_stands_for_by_groups(layer, bits)[off] == 0 for layer, off in zip(block.layers, gone, strict=True)]
        share = float(np.mean(np.concatenate(kept)))
        print(f"{mode}, {bits} bits: {share:.1%} of the zeros are left")
        assert share == 1.0 if bits == 4 else 0.5 < share <= 1.0, (mode, bits, share)


def _stands_for_by_groups(layer, bits):
    """Returns what the integers of a kernel stand for, but for the scale, where groups of inputs share a zero point."""
    from keras.src import quantizers

    values = layer.quantized_kernel.value
    if bits == 4:
        values = quantizers.unpack_int4(values, int(layer.kernel_scale.shape[0]), axis=0, dtype="uint8")
    arrays = (values, layer.kernel_zero, layer.g_idx)
    values, zero, group = (np.asarray(keras.ops.convert_to_numpy(own), np.int32) for own in arrays)
    return (values - zero[:, group]).T


# -- several devices --------------------------------------------------------------------------------------------------


def check_several_devices(folder):
    """Masks over two devices, which divide the batches or the kernels, are those of one."""
    if BACKEND != "jax":
        print(f"keras.distribution: none on {BACKEND}")
        return
    found = {}
    for kind in ("one", "data", "model"):
        environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
        path = folder / f"{kind}.npz"
        command = [sys.executable, "-W", "ignore", __file__, "--devices", kind, str(path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        found[kind] = np.load(path)
    for kind in ("data", "model"):
        for name in found["one"].files:
            np.testing.assert_allclose(found[kind][name], found["one"][name], rtol=1e-4, atol=1e-5, err_msg=kind)


def over_devices(kind, path):
    """Trains under a distribution of `keras.distribution`; writes weights and masks."""
    assert len(keras.distribution.list_devices()) == 2
    if kind == "data":
        keras.distribution.set_distribution(keras.distribution.DataParallel())
    elif kind == "model":
        mesh = keras.distribution.DeviceMesh((1, 2), ("batch", "model"), keras.distribution.list_devices())
        layout = keras.distribution.LayoutMap(mesh)
        layout["a/kernel"] = (None, "model")
        keras.distribution.set_distribution(keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch"))
    out = {}
    for host in ("callbacks", "train"):
        model, watch = net(), Watch()
        given = {"sparsity": 0.5, "epochs": 3}
        if host == "callbacks":
            pruning = tfprune.callbacks(model, **given)
            model.fit(X, Y, 16, 3, verbose=0, shuffle=False, callbacks=[*pruning, watch])
        else:
            model = tfprune.train(
                model, (X, Y), batch_size=16, verbose=0, shuffle=False, callbacks=[watch], **given
            ).model
        assert watch.seen[-1] == 88 == zeros(model), watch.seen
        adapter = adapter_of(model)
        for own in adapter.attach(model)._masks.kernels().values():
            gone = np.asarray(keras.ops.convert_to_numpy(own.value)) == 0
            slots = adapter.slots(model.optimizer, own)
            assert len(slots) == 2 and not any(slot[gone].any() for slot in slots)
            devices = {shard.device for shard in own.value.addressable_shards}
            assert len(devices) == (1 if kind == "one" else 2), devices
        out |= {f"{host} {number}": own for number, own in enumerate(model.get_weights())}
    np.savez(path, **out)


CHECKS = {name.removeprefix("check_"): own for name, own in list(globals().items()) if name.startswith("check_")}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if sys.argv[1:2] == ["--devices"]:
        over_devices(*sys.argv[2:])
    else:
        sys.exit(bool(main(CHECKS, sys.argv[1:])))
