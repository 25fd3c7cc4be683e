"""Reads a .proto with our custom options through protoc: the generators' common ground."""
import importlib
import pathlib
import subprocess
import sys
import tempfile

# nanopb's source brings google/protobuf/descriptor.proto along.
INCLUDES = ["-I", "out/deps/src/nanopb/generator/proto"]


def load(proto_path, options_path, root="."):
    """The file's descriptor and the module with its option extensions."""
    from google.protobuf import descriptor_pb2
    with tempfile.TemporaryDirectory() as folder:
        module_name = pathlib.Path(options_path).with_suffix("").name + "_pb2"
        subprocess.run(["protoc", "-I", root, *INCLUDES, f"--python_out={folder}", options_path],
                       check=True)
        place = str(pathlib.Path(folder) / pathlib.Path(options_path).parent)
        if module_name in sys.modules:
            module = sys.modules[module_name]
        else:
            sys.path.insert(0, place)
            module = importlib.import_module(module_name)
            sys.path.remove(place)
        out = pathlib.Path(folder) / "set"
        subprocess.run(["protoc", "-I", root, *INCLUDES, f"--descriptor_set_out={out}",
                        proto_path], check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    return files.file[0], module
