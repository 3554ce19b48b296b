#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# Is onnx/onnx.proto the published schema? Compiles ours and compares every message, field (name, number, type, label,
# packed, oneof) and enum with the descriptor in the `onnx` package. Both ways: nothing missing, nothing invented.
# Exits 77 (skipped) when the package or the compiler is absent.
import os
import shutil
import subprocess
import sys
import tempfile

try:
    import onnx
    from google.protobuf import descriptor_pb2
except ImportError as e:
    print("skipped:", e)
    sys.exit(77)

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
protoc = shutil.which("protoc") or shutil.which("protoc-c")
if not protoc:
    print("skipped: neither protoc nor protoc-c is installed")
    sys.exit(77)

with tempfile.TemporaryDirectory() as tmp:
    out = os.path.join(tmp, "onnx.pb")
    subprocess.run([protoc, "--proto_path=" + os.path.join(root, "onnx"), "--descriptor_set_out=" + out, "onnx.proto"], check=True)
    ours = descriptor_pb2.FileDescriptorSet.FromString(open(out, "rb").read()).file[0]
theirs = descriptor_pb2.FileDescriptorProto()
onnx.onnx_ml_pb2.DESCRIPTOR.CopyToProto(theirs)


def flatten(f):
    """Everything that decides how bytes are read, by dotted name."""
    facts = {"package": f.package, "syntax": f.syntax or "proto2"}

    def enum(e, path):
        for v in e.value:
            facts["%s.%s=" % (path, v.name)] = v.number

    def message(m, path):
        facts[path] = "message"
        for e in m.enum_type:
            enum(e, path + "." + e.name)
        for n in m.nested_type:
            message(n, path + "." + n.name)
        for x in m.field:
            oneof = m.oneof_decl[x.oneof_index].name if x.HasField("oneof_index") else ""
            facts["%s.%s" % (path, x.name)] = (x.number, x.type, x.label, x.type_name, bool(x.options.packed), x.default_value, oneof)
        facts[path + " reserved"] = sorted((r.start, r.end) for r in m.reserved_range), sorted(m.reserved_name)

    for e in f.enum_type:
        enum(e, e.name)
    for m in f.message_type:
        message(m, m.name)
    return facts


a, b = flatten(ours), flatten(theirs)
wrong = ["%s: ours %s, published %s" % (k, a.get(k, "absent"), b.get(k, "absent")) for k in sorted(set(a) | set(b)) if a.get(k) != b.get(k)]
for line in wrong:
    print(line)
print("%d facts compared with onnx %s, %d differ" % (len(set(a) | set(b)), onnx.__version__, len(wrong)))
sys.exit(1 if wrong else 0)
