#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""--tensorboard: the records (lengths, masked CRC-32C computed here another way), what they hold against metrics.csv and
study.json, a run that goes on after being killed, a search with folds and nested folds, folders that cannot be written."""
import csv
import json
import random
import signal
import struct
import subprocess
import time

import _hone
from _hone import HONE, check, code, hone

_hone.need_hone()
tmp = _hone.folder()
NET, DATA = tmp / "net.onnx", tmp / "data.csv"
EPOCHS = 12000  # long enough to be killed amid them


def remainder(byte):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


REMAINDER = [remainder(b) for b in range(256)]


def crc32c(data):
    c = 0xFFFFFFFF
    for byte in data:
        c = c >> 8 ^ REMAINDER[(c ^ byte) & 255]
    return c ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C


def masked(data):
    c = crc32c(data)
    return ((c >> 15 | c << 17) + 0xA282EAD8) & 0xFFFFFFFF


def fields(data):
    """The fields of a protobuf message: (number, value) in order; bytes for messages and texts."""
    at = 0

    def varint():
        nonlocal at
        v = shift = 0
        while True:
            v |= (data[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if data[at - 1] < 128:
                return v

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 1:
            yield key >> 3, struct.unpack_from("<d", data, at)[0]
            at += 8
        else:
            assert key & 7 == 2, key
            n = varint()
            yield key >> 3, data[at:at + n]
            at += n
    assert at == len(data)


def one(data, *path):
    for number in path:
        data = dict(fields(data))[number]
    return data


def events(path):
    """(step, kind, content) of every whole record; of the first the version, of a summary (tag, content or number)."""
    data, out, at = path.read_bytes(), [], 0
    while len(data) - at >= 12:
        n, c = struct.unpack_from("<QI", data, at)
        assert c == masked(data[at:at + 8]), "a length's checksum is wrong"
        if len(data) - at < 16 + n:
            break  # the process was killed as it wrote this
        payload = data[at + 12:at + 12 + n]
        assert struct.unpack_from("<I", data, at + 12 + n)[0] == masked(payload), "a checksum is wrong"
        at += 16 + n
        event = dict(fields(payload))
        assert abs(event[1] - time.time()) < 3600, event[1]
        step = event.get(2, 0)
        if 3 in event:
            out.append((step, "version", event[3]))
        elif 7 in event:
            out.append((step, "session", one(event[7], 1)))
        else:
            value = one(event[5], 1)
            tag, plugin = one(value, 1).decode(), one(value, 9, 1, 1)
            if plugin == b"scalars":
                assert one(value, 9, 4) == 1 and one(value, 8, 1) == 1 and one(value, 8, 2) == b""
                out.append((step, "scalar", (tag, struct.unpack("<f", one(value, 8, 5))[0])))
            else:
                assert plugin == b"hparams" and one(value, 8, 2, 2, 1) == 0, plugin
                out.append((step, "hparams", (tag, one(value, 9, 1, 2))))
    return out


def files(folder):
    return sorted(folder.glob("events.out.tfevents.*"))


def scalars(folder):
    """{tag: {step: value}} as a reader has it that forgets what a newer file begins anew."""
    got = {}
    for path in files(folder):
        e = events(path)
        check(f"{path.parent.name}: begins as a file of events does", [x[1] for x in e[:2]] == ["version", "session"]
              and e[0][2] == b"brain.Event:2" and e[1][2] == 1, e[:2])
        for steps in got.values():
            for s in [s for s in steps if s >= e[1][0]]:
                del steps[s]
        for step, kind, what in e:
            if kind == "scalar":
                got.setdefault(what[0], {})[step] = what[1]
    return got


def settings(folder):
    """Of the session: settings, group, status at the end (None: not said)."""
    values, group, status = {}, None, None
    for path in files(folder):
        for _, kind, what in events(path):
            if kind == "hparams" and what[0].endswith("start_info"):
                for number, entry in fields(one(what[1], 3)):
                    if number == 1:
                        v = dict(fields(one(entry, 2)))
                        values[one(entry, 1).decode()] = v[2] if 2 in v else bool(v[4]) if 4 in v else v[3].decode()
                    elif number == 4:
                        group = entry.decode()
            elif kind == "hparams" and what[0].endswith("end_info"):
                status = one(what[1], 4, 1)
    return values, group, status


def f32(x):
    return struct.unpack("<f", struct.pack("<f", float(x)))[0]


def make_data():
    r = random.Random(5)
    with DATA.open("w", newline="") as f:
        w = csv.writer(f)
        w.writerow(["a", "b", "c", "label"])
        for _ in range(240):
            x = [r.gauss(0, 1) for _ in range(3)]
            w.writerow([f"{v:.5f}" for v in x] + [int(x[0] + x[1] * x[2] > 0)])
    code("a model", hone("new", "3-8-2 tanh softmax", "-o", NET), 0)


PLAIN = ["--data", DATA, "--target", "label", "--val-split", "0.25", "--progress", "none"]


def against_metrics(what, board, run):
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    for column, tag in [("train_loss", "loss/train"), ("val_loss", "loss/val"), ("val_accuracy", "accuracy/val"), ("lr", "lr")]:
        want = {int(r["epoch"]): f32(r[column]) for r in rows if r[column]}
        check(f"{what}: {tag} is {column}", board.get(tag) == want, (board.get(tag), want))


def test_training():
    board, run, out = tmp / "deep" / "runs" / "a", tmp / "a.run", tmp / "a.onnx"
    r = hone("train", NET, *PLAIN, "--test-split", "0.2", "--epochs", "5", "--lr-schedule", "cosine", "--weight-decay", "1e-3",
             "--run-dir", run, "--tensorboard", board, "--json", "-o", out)
    code("a run", r, 0)
    check("one file", len(files(board)) == 1, files(board))
    got = scalars(board)
    against_metrics("a run", got, run)
    best = r.json["best_epoch"]
    check("test figures at the best epoch", got["loss/test"] == {best: f32(r.json["test"]["loss"])}
          and got["accuracy/test"] == {best: f32(r.json["test"]["accuracy"])} and "rows/test" not in got, got.keys())
    check("what the exported model has", got["hparam/val_loss"] == {best: f32(r.json["val"]["loss"])}, got["hparam/val_loss"])
    values, _, status = settings(board)
    check("settings", values == {"optimizer": "adam", "lr": 1e-3, "batch_size": 32.0, "epochs": 5.0, "lr_schedule": "cosine",
                                 "weight_decay": 1e-3}, values)
    check("ended well", status == 1, status)
    plain = tmp / "plain.onnx"
    hone("train", NET, *PLAIN, "--test-split", "0.2", "--epochs", "5", "--lr-schedule", "cosine", "--weight-decay", "1e-3", "-o", plain)
    check("the model is the same as without", plain.read_bytes() == out.read_bytes())
    r = hone("train", NET, *PLAIN, "--epochs", "3", "--tensorboard", board, "-o", tmp / "again.onnx", "--run-dir", tmp / "again.run")
    code("a second run in the same folder", r, 0)
    against_metrics("the second takes the first one's place", scalars(board), tmp / "again.run")
    r = hone("train", NET, *PLAIN, "--epochs", "2", "--dry-run", "--tensorboard", tmp / "dry", "-o", tmp / "dry.onnx")
    code("a dry run", r, 0)
    check("writes nothing", not (tmp / "dry").exists())
    r = hone("train", _hone.MNIST, "--x", _hone.IMAGES, "--y", _hone.LABELS, "--x-scale", _hone.SCALE, "--epochs", "3", "--optimizer", "sgd",
             "--lr", "1e30", "--tensorboard", tmp / "bad", "-o", tmp / "bad.onnx")
    code("a run that diverges", r, 7)
    check("says so", settings(tmp / "bad")[2] == 2, settings(tmp / "bad"))


def killed_and_resumed(board, out):
    """The first event of what the resumed run writes."""
    run = out.with_name(out.name + ".run")
    args = [str(a) for a in [HONE, "train", NET, *PLAIN, "--epochs", str(EPOCHS), "--tensorboard", board, "-o", out]]
    p = subprocess.Popen(args, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while time.monotonic() < end and not (run / "checkpoint.old.hone").exists() and p.poll() is None:
        time.sleep(0.01)
    p.send_signal(signal.SIGKILL)
    if p.wait() == 0:
        return None
    code("the rest of a killed run", hone("resume", run, "--progress", "none"), 0)
    check("in a file of its own", len(files(board)) == 2, files(board))
    return events(files(board)[1])[1]


def test_killed():
    for attempt in range(20):  # on a busy machine the run may have been done, or as good as
        board, out = tmp / f"killed{attempt}", tmp / f"k{attempt}.onnx"
        begins = killed_and_resumed(board, out)
        if begins and begins[0] <= EPOCHS:
            break
    check("which says where it begins", begins and 0 < begins[0] <= EPOCHS, begins)
    got = scalars(board)
    check("every epoch once", sorted(got["loss/train"]) == list(range(1, EPOCHS + 1)), len(got["loss/train"]))
    whole = tmp / "whole"
    code("the same without", hone("train", NET, *PLAIN, "--epochs", str(EPOCHS), "--tensorboard", whole, "-o", tmp / "w.onnx"), 0)
    check("the same numbers", scalars(whole) == got)
    check("the same bytes", out.read_bytes() == (tmp / "w.onnx").read_bytes())


SEARCH = ["--data", DATA, "--target", "label", "--epochs", "3", "--seed", "2", "--trials", "4", "--search", "lr=log:1e-3..1e-1",
          "--search", "batch_size=16,32", "--progress", "none", "--json"]


def against_study(what, board, j, folds):
    for t in j["trials"]:
        name = f"trial-{t['number']:04d}"
        where = [board / name / f"fold-{i}" for i in range(folds)] if folds else [board / name]
        got = [scalars(w) for w in where]
        for g, f in zip(got, t["folds"]):
            check(f"{what}, {name}: the value", g["hparam/val_loss"] == {f["best_epoch"]: f32(f["value"])}, g)
        mean = [sum(g["loss/val"][e] for g in got) / len(got) for e in range(1, len(t["curve"]) + 1)]
        check(f"{what}, {name}: the curve", all(abs(a - b) < 1e-6 for a, b in zip(mean, t["curve"])) and len(mean) == 3, (mean, t["curve"]))
        values, group, status = settings(where[-1])
        check(f"{what}, {name}: settings and group", values == t["params"] and group == name and status == 1, (values, t["params"], group, status))


def test_search():
    board = tmp / "search"
    r = hone("tune", NET, *SEARCH, "--folds", "3", "--tensorboard", board, "-o", tmp / "s.onnx")
    code("a search", r, 0)
    against_study("folds", board, r.json, 3)
    board = tmp / "split"
    r = hone("tune", NET, *SEARCH, "--val-split", "0.25", "--tensorboard", board, "-o", tmp / "v.onnx")
    code("a search without folds", r, 0)
    against_study("no folds", board, r.json, 0)
    board = tmp / "nested"
    r = hone("tune", NET, *SEARCH, "--folds", "2", "--nested", "2", "--trials", "2", "--tensorboard", board, "-o", tmp / "n.onnx")
    code("a nested search", r, 0)
    check("each outer fold apart", sorted(p.name for p in board.iterdir()) == ["outer-1", "outer-2", "trial-0000", "trial-0001"],
          sorted(p.name for p in board.iterdir()))
    check("its group too", settings(board / "outer-2" / "trial-0001" / "fold-0")[1] == "outer-2/trial-0001")


def test_trouble():
    (tmp / "file").write_text("")
    r = hone("train", NET, *PLAIN, "--epochs", "1", "--tensorboard", tmp / "file" / "x", "-o", tmp / "t.onnx")
    code("a folder inside a file", r, 6, "file/x", "cannot be made")
    code("a file there", hone("train", NET, *PLAIN, "--epochs", "1", "--tensorboard", tmp / "file", "-o", tmp / "t.onnx"), 6, "cannot be made")
    check("before training", not (tmp / "t.onnx").exists())
    code("no option of eval", hone("eval", NET, "--data", DATA, "--target", "label", "--tensorboard", "x"), 2, "is not an option")
    board = tmp / "search2"
    board.mkdir()
    (board / "trial-0001").write_text("")
    r = hone("tune", NET, *SEARCH, "--val-split", "0.25", "--jobs", "1", "--tensorboard", board, "-o", tmp / "x.onnx")  # one by one
    code("a trial's folder that cannot be there", r, 0, "no more events for TensorBoard")
    check("said once, the search goes on", r.err.count("no more events") == 1 and len(r.json["trials"]) == 4
          and (board / "trial-0000").is_dir() and not (board / "trial-0002").exists(), r.err)


make_data()
test_training()
test_killed()
test_search()
test_trouble()
_hone.finish("tensorboard", tmp)
