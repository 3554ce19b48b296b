#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Raw tables: --encode and --impute. The numbers the model gets are those worked out here cell by cell; what fills a gap comes
from the training rows alone; eval and predict take both from the exported model, also when the columns stand in another order;
a search is the same for any --jobs; what does not fit is said with its place."""
import csv
import gzip
import pathlib
import random
import statistics
import struct

import _hone
from _hone import check, code, hone

_hone.need_hone()
tmp = _hone.folder()
DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
NET, TRAIN, VAL = tmp / "net.onnx", tmp / "train.csv", tmp / "val.csv"
COLOURS, SIZES = ["blue", "green", "red, dark"], ["L", "S"]
TABLE = ["--target", "label", "--encode", "colour=onehot,size=ordinal"]


def make_rows(seed, n):
    r = random.Random(seed)
    rows = []
    for _ in range(n):
        age, weight = r.gauss(40, 9), r.gauss(0, 1)
        row = {"age": f"{age:.4g}", "colour": r.choice(COLOURS), "weight": f"{weight:.4g}", "size": r.choice(SIZES)}
        row["label"] = "yes" if age / 9 + weight + (row["colour"] == "blue") + r.gauss(0, 0.5) > 5 else "no"
        for name in ("age", "weight", "colour"):
            if r.random() < 0.08:
                row[name] = r.choice(["", "NA", "?"])
        rows.append(row)
    return rows


def write(path, rows, names=("age", "colour", "weight", "size", "label")):
    with open(path, "w", newline="") as f:
        out = csv.DictWriter(f, names)
        out.writeheader()
        out.writerows({k: row[k] for k in names} for row in rows)


def is_missing(text):
    return text in ("", "NA", "?")


def numbers(rows, train):
    """By hand: fills from the training rows, one-hot colour, ordinal size."""
    mean = {k: statistics.fmean(float(r[k]) for r in train if not is_missing(r[k])) for k in ("age", "weight")}
    seen = [r["colour"] for r in train if not is_missing(r["colour"])]
    most = max(COLOURS, key=seen.count)
    out = []
    for r in rows:
        colour = most if is_missing(r["colour"]) else r["colour"]
        out.append([mean["age"] if is_missing(r["age"]) else float(r["age"]), *(float(colour == c) for c in COLOURS),
                    mean["weight"] if is_missing(r["weight"]) else float(r["weight"]), float(SIZES.index(r["size"]))])
    return out


def predictions(path):
    return [[float(v) for v in line] for line in list(csv.reader(open(path)))[1:]]


def test_numbers(train, val):
    r = hone("train", NET, "--data", TRAIN, *TABLE, "--impute", "mean", "--val-data", VAL, "--epochs", "4", "-o", tmp / "a.onnx", "--json")
    code("train on a raw table", r, 0)
    with open(tmp / "plain.csv", "w") as f:
        f.write("a,b,c,d,e,f\n" + "".join(",".join(repr(v) for v in row) + "\n" for row in numbers(val, train)))
    code("predict, raw rows", hone("predict", tmp / "a.onnx", "--data", VAL, "-o", tmp / "p.csv"), 0)
    # the same weights fed with numbers: an array has no columns to encode
    code("predict, numbers", hone("predict", tmp / "a.onnx", "--x", tmp / "plain.csv", "-o", tmp / "q.csv"), 0)
    p, q = predictions(tmp / "p.csv"), predictions(tmp / "q.csv")
    worst = max(abs(a - b) for x, y in zip(p, q) for a, b in zip(x, y))
    check("raw rows give the numbers worked out by hand", len(p) == len(q) == len(val) and worst < 1e-5, worst)
    names = ("size", "label", "weight", "age", "colour")
    write(tmp / "moved.csv", val, names)
    code("predict, columns in another order", hone("predict", tmp / "a.onnx", "--data", tmp / "moved.csv", "-o", tmp / "m.csv"), 0)
    check("names decide, not places", predictions(tmp / "m.csv") == p)
    e = hone("eval", tmp / "a.onnx", "--data", VAL, "--target", "label", "--json")
    code("eval needs no options", e, 0)
    check("eval tells what train told", abs(e.json["loss"] - r.json["val"]["loss"]) < 1e-6, (e.json["loss"], r.json["val"]))
    again = hone("train", tmp / "a.onnx", "--data", TRAIN, "--target", "label", "--val-data", VAL, "--epochs", "2", "-o", tmp / "b.onnx",
                 "--json")
    code("trained once more, by the model's own record", again, 0)
    check("which it is judged by", abs(again.json["before"]["val"]["loss"] - r.json["val"]["loss"]) < 1e-6)


def test_fills(train):
    """Fills come from training rows: other validation rows do not change what is exported."""
    rows = [dict(r) for r in train]
    for out, shift in (("f1", 0.0), ("f2", 1e6)):
        val = [dict(r, age=f"{float(r['age']) + shift:.6g}") for r in rows[:40] if not is_missing(r["age"])]
        write(tmp / "v.csv", val)
        code("train", hone("train", NET, "--data", TRAIN, *TABLE, "--impute", "median", "--val-data", tmp / "v.csv", "--epochs", "2", "--save",
                           "last", "-o", tmp / f"{out}.onnx", "--quiet"), 0)
    d = hone("diff", tmp / "f1.onnx", tmp / "f2.onnx", "--json").json
    differing = [f["what"].split(" against ") for f in d["fields"]]
    check("validation rows have no say in the weights", d["tensors"] == [])
    check("nor in what fills gaps", len(differing) == 2 and not any("onehot" in a + b for a, b in differing), differing)


def test_markers():
    """What a missing cell looks like travels with the model; --na given again counts, and what it contradicts is said."""
    r = random.Random(4)
    rows = [{"a": r.choice(["1.5", "2", "-999", "-7"]), "b": f"{r.gauss(0, 1):.4g}", "y": r.choice(["u", "v"])} for _ in range(60)]
    write(tmp / "na.csv", rows, ("a", "b", "y"))
    code("a small model", hone("new", "2-4-2 relu softmax", "-o", tmp / "na0.onnx"), 0)
    train = ["train", tmp / "na0.onnx", "--data", tmp / "na.csv", "--target", "y", "--impute", "mean", "--epochs", "3", "--save", "last", "--json"]
    code("train with --na", hone(*train, "--na=-999,-7", "-o", tmp / "na1.onnx"), 0)
    for verb, more in (("eval", []), ("predict", ["--force", "-o", tmp / "na.p.csv"])):
        args = [verb, tmp / "na1.onnx", "--data", tmp / "na.csv", "--target", "y", "--json", *more]
        plain = hone(*args)
        code(f"{verb} without --na", plain, 0)
        bare = (plain.json.get("loss"), (tmp / "na.p.csv").read_bytes() if more else None)
        named = hone(*args, "--na=-7,-999")
        code(f"{verb} with it", named, 0)
        check("one as the other", bare == (named.json.get("loss"), (tmp / "na.p.csv").read_bytes() if more else None))
        check("the same markers are nothing to be said", "--na" not in named.err, named.err)
        other = hone(*args, "--na", "NA")
        code(f"{verb} with other markers", other, 0, "--na counts", "missing cells are '-999', '-7'")
        check("which are those that count", bare != (other.json.get("loss"), (tmp / "na.p.csv").read_bytes() if more else None))
    code("train on", hone("train", tmp / "na1.onnx", "--data", tmp / "na.csv", "--target", "y", "--impute", "median", "--epochs", "1", "-o",
                          tmp / "na2.onnx", "--quiet"), 0)
    check("by other fills", b"\n\tna\t-999\t-7" in (tmp / "na2.onnx").read_bytes())
    code("train on with other markers", hone("train", tmp / "na1.onnx", "--data", tmp / "na.csv", "--target", "y", "--na=-999", "--epochs", "1", "-o",
                                             tmp / "na3.onnx", "--quiet"), 0)
    raw = (tmp / "na3.onnx").read_bytes()
    check("which travel now", b"\n\tna\t-999" in raw and b"\t-7" not in raw)
    for out, na in (("d1", []), ("d2", ["--na", "?,null,NaN,nan,NA"])):
        code("the usual markers", hone("train", NET, "--data", TRAIN, *TABLE, "--impute", "mean", "--epochs", "1", *na, "-o", tmp / f"{out}.onnx"), 0)
    check("are not written", (tmp / "d1.onnx").read_bytes() == (tmp / "d2.onnx").read_bytes() and b"\tna" not in (tmp / "d1.onnx").read_bytes())


def test_impute_by_column(train):
    """Each column by its own rule, in whatever spelling: what comes out is the table that was filled by hand."""
    head = ["age", "weight", "town", "size"]
    rows = [dict(row, town=["", "Bonn, north", "Ulm", "mean"][i % 7 % 4]) for i, row in enumerate(train[:120])]
    write(tmp / "gaps.csv", rows, [*head, "label"])
    known = [float(r["age"]) for r in rows if not is_missing(r["age"])]
    want = {"median": statistics.median(known), "mean": statistics.fmean(known), "-3.5": -3.5}
    seen = [r["town"] for r in rows if r["town"]]
    code("a net", hone("new", "6-5-2 tanh", "--seed", "4", "-o", tmp / "by0.onnx"), 0)
    job = ["--target", "label", "--encode", "town=onehot,size=ordinal", "--epochs", "2", "--save", "last"]
    cases = {("median,weight=0,town=most",): ("median", "0", max(["Bonn, north", "Ulm", "mean"], key=seen.count)),
             ("median", "weight=constant:0", "town=most_frequent"): ("median", "0", max(["Bonn, north", "Ulm", "mean"], key=seen.count)),
             ("age=mean,weight=2.5,town=Bonn, north",): ("mean", "2.5", "Bonn, north"),
             ("-3.5,2=constant:mean",): ("-3.5", "-3.5", "mean")}
    for items, (age, weight, town) in cases.items():
        given = [part for item in items for part in ("--impute", item)]
        code(f"train, {items}", hone("train", tmp / "by0.onnx", "--data", tmp / "gaps.csv", *job, *given, "--force", "-o", tmp / "by1.onnx"), 0)
        write(tmp / "filled.csv", [dict(r, age=repr(want[age]) if is_missing(r["age"]) else r["age"], weight=weight if is_missing(r["weight"]) else r["weight"],
                                        town=r["town"] or town) for r in rows], [*head, "label"])
        code("on what was filled by hand", hone("train", tmp / "by0.onnx", "--data", tmp / "filled.csv", *job, "--force", "-o", tmp / "by2.onnx"), 0)
        d = hone("diff", tmp / "by1.onnx", tmp / "by2.onnx", "--json").json
        check("the same weights", d["tensors"] == [], d)
        code("predict by the record", hone("predict", tmp / "by1.onnx", "--data", tmp / "gaps.csv", "--force", "-o", tmp / "p.csv"), 0)
        code("and what was filled", hone("predict", tmp / "by2.onnx", "--data", tmp / "filled.csv", "--force", "-o", tmp / "q.csv"), 0)
        worst = max(abs(a - b) for x, y in zip(predictions(tmp / "p.csv"), predictions(tmp / "q.csv")) for a, b in zip(x, y))
        check("predictions are the same", worst < 1e-6, worst)
    base = ["train", tmp / "by0.onnx", "--data", tmp / "gaps.csv", *job, "-o", tmp / "z.onnx", "--impute"]
    code("a gap in a column without a rule", hone(*base, "age=mean,town=most"), 4, "gaps.csv", "a missing cell", "--impute weight=mean|median|most|VALUE")
    code("no such column", hone(*base, "median,wieght=0"), 4, "no column 'wieght'", "did you mean 'weight'?")
    code("the target", hone(*base, "median,label=most"), 2, "cannot impute column 'label'", "not a feature")
    code("text by its mean", hone(*base, "median,town=mean"), 2, "'town'", "the column is encoded", "wanted missing, most or one of its 3 categories")
    code("no such category", hone(*base, "median,town=Paris"), 2, "'Paris' is not among the 3 categories of column 'town'")
    code("no number", hone(*base, "median,weight=most often"), 2, "'most often': column 'weight' wants a number")
    code("no rule", hone(*base, "median,age="), 2, "found 'age=', wanted RULE or COLUMN=RULE")
    code("constant without a value", hone(*base, "age=constant"), 2, "found 'age=constant'", "constant:VALUE")
    code("a config file", hone("train", tmp / "by0.onnx", "--config", config("impute: [median, town=most]\n"), "--data", tmp / "gaps.csv", *job, "--force", "-o", tmp / "c.onnx"), 0)
    r = hone("tune", tmp / "by0.onnx", "--data", tmp / "gaps.csv", *job[:4], "--epochs", "1", "--impute", "mean,town=Ulm", "--search", "impute=mean,median,-9",
             "--trials", "3", "--sampler", "grid", "--folds", "2", "--refit", "none", "--json", "--progress", "none", "-o", tmp / "t.onnx")
    code("a search over the rule for all", r, 0)
    check("which keeps the column's own", len({t["value"] for t in r.json["trials"]}) == 3, r.json["trials"])
    told = [hone("tune", tmp / "by0.onnx", "--data", tmp / "gaps.csv", *job[:4], "--epochs", "1", "--impute", f"mean,town={town}", "--search", "impute=median,-9",
                 "--trials", "2", "--sampler", "grid", "--folds", "2", "--refit", "none", "--json", "--progress", "none", "--force", "-o", tmp / "t.onnx").json["trials"]
            for town in ("Ulm", "constant:mean")]
    check("which counts in each trial", all(a["value"] != b["value"] for a, b in zip(*told)), told)


def test_unknown(train):
    """Categories that the training table did not have: what was chosen in training is done by later commands, and said."""
    towns, net, model = ["Bonn", "Ulm"], tmp / "u0.onnx", tmp / "u.onnx"
    rows = [{"age": str(i % 50), "town": towns[i % 2] if i % 5 else "", "size": "LS"[i % 2], "label": ["no", "yes"][i // 2 % 2]} for i in range(100)]
    write(tmp / "u.csv", rows, list(rows[0]))
    odd = [dict(row, town=["Oslo", "Rom", "Ulm", ""][i % 4], size="LXS"[i % 3]) for i, row in enumerate(rows[:30])]
    write(tmp / "odd.csv", odd, list(rows[0]))
    code("a net", hone("new", "5-6-2 tanh", "--seed", "3", "-o", net), 0)
    code("one of three", hone("new", "4-6-2 tanh", "--seed", "3", "-o", tmp / "u3.onnx"), 0)
    data = ["--data", tmp / "u.csv", "--target", "label", "--encode", "town=onehot,size=ordinal", "--save", "last", "--force", "-o", model]

    def scores(what, table, *more, said=""):
        r = hone("predict", model, "--data", table, *more, "--force", "-o", tmp / "p.csv")
        code(what, r, 0, *([said] if said else []))
        return predictions(tmp / "p.csv")

    def same(what, pairs, options, own=False):
        """Predictions of odd.csv are those of a table that says what its cells became."""
        trained = hone("train", net if own else tmp / "u3.onnx", *data, *options, "--epochs", "2", "--val-data", tmp / "odd.csv", "--json")
        code(f"{what}: train", trained, 0)
        got = scores(f"{what}: predict", tmp / "odd.csv", said="no category of the training table (the first in row")
        write(tmp / "told.csv", [{k: pairs.get((k, v), v) for k, v in row.items()} for row in odd], list(rows[0]))
        check(f"{what}: as the other category", got == scores(f"{what}: told", tmp / "told.csv"), got[:4])
        e = hone("eval", model, "--data", tmp / "odd.csv", "--target", "label", "--json")
        code(f"{what}: eval", e, 0, "16 cells are no category", "the first in row 2: 'Oslo'")
        check(f"{what}: as validation was", abs(e.json["loss"] - trained.json["val"]["loss"]) < 1e-6, (e.json, trained.json["val"]))

    unknown = {("town", "Oslo"), ("town", "Rom"), ("size", "X")}
    same("a category", {("town", "Oslo"): "Ulm", ("town", "Rom"): "Ulm", ("size", "X"): "S"}, ["--impute", "most", "--unknown", "town=Ulm,size=S"])
    same("a missing cell", dict.fromkeys(unknown, ""), ["--impute", "town=missing,size=most", "--unknown", "missing"], own=True)
    raw = model.read_bytes()
    check("which the record says", b"x\ttown\tonehot\t2\tBonn\tUlm\t\nx\tsize" in raw and b"\n\tunknown\tx\ttown\tmissing\n\tunknown\tx\tsize\tmissing" in raw)
    again = hone("train", model, "--data", tmp / "odd.csv", "--target", "label", "--epochs", "1", "-o", tmp / "u2.onnx", "--json")
    code("trained on, by the record", again, 0, "no category of the training table")
    check("which stays", b"\tunknown\tx\ttown\tmissing" in (tmp / "u2.onnx").read_bytes())

    code("nothing chosen", hone("train", net, *data, "--impute", "town=missing,size=most", "--epochs", "1"), 0)
    code("is an error", hone("predict", model, "--data", tmp / "odd.csv", "-o", tmp / "z.csv"), 4, "odd.csv", "row 2, column 'town': found 'Oslo'", "--unknown town=ignore")
    check("and nothing in the record", b"\tunknown" not in model.read_bytes())
    late = scores("chosen late", tmp / "odd.csv", "--unknown", "town=Bonn,size=S", said="odd.csv: column 'town'")
    write(tmp / "told.csv", [dict(row, town=row["town"].replace("Oslo", "Bonn").replace("Rom", "Bonn"), size=row["size"].replace("X", "S")) for row in odd], list(rows[0]))
    check("counts", late == scores("told", tmp / "told.csv"))
    code("trained on with a choice", hone("train", model, "--data", tmp / "u.csv", "--target", "label", "--unknown", "ignore", "--epochs", "1", "-o", tmp / "u4.onnx"), 0)
    check("which the record has now", b"\tunknown\tx\ttown\t-1\n\tunknown\tx\tsize\t-1" in (tmp / "u4.onnx").read_bytes())
    code("another later is said", hone("predict", tmp / "u4.onnx", "--data", tmp / "odd.csv", "--unknown", "missing", "--force", "-o", tmp / "p.csv"), 0,
         "--unknown counts; the model's record has another choice for column 'town'")
    code("a search", hone("tune", net, *data, "--impute", "town=missing,size=most", "--unknown", "ignore", "--folds", "2", "--trials", "2", "--epochs", "1",
                          "--search", "lr=0.1,0.01", "--sampler", "grid", "--quiet"), 0)
    check("whose winner has it", b"\tunknown\tx\ttown\t-1" in model.read_bytes())
    code("and is predicted with", hone("predict", model, "--data", tmp / "odd.csv", "--force", "-o", tmp / "p.csv"), 0, "taken as none of them", "taken as -1")

    base = ["train", tmp / "u3.onnx", *data, "--epochs", "1", "--impute", "most", "--unknown"]
    code("a number of a category", hone(*base, "size=1"), 2, "--unknown '1': 0 to 2 are the numbers of the categories of column 'size'")
    code("no such category", hone(*base, "town=Paris"), 2, "--unknown 'Paris': column 'town' wants error, ignore, missing, infrequent:N or one of its 2 categories")
    code("numbers", hone(*base, "age=ignore"), 2, "column 'age', which is not encoded")
    code("no such column", hone(*base, "twon=ignore"), 4, "no column 'twon'", "did you mean 'town'?")
    code("how few are rare?", hone(*base, "infrequent"), 2, "wanted infrequent:N")
    code("nothing said", hone(*base, "town="), 2, "found 'town='")
    code("no encoded column", hone("train", tmp / "u3.onnx", "--data", tmp / "u.csv", "--target", "label", "--ignore", "town,size", "--unknown", "ignore", "-o", tmp / "z.onnx"), 2,
         "--unknown is for encoded columns, found none")
    code("no table", hone("predict", model, "--x", tmp / "u.csv", "--unknown", "ignore", "-o", tmp / "z.csv"), 2, "is for columns of --data")
    code("missing, which nothing stands for", hone(*base[:-3], "--impute", "town=most", "--unknown", "missing"), 2, "column 'size'", "--impute size=missing|most|CATEGORY")
    code("rare ones of a model that has learned", hone("predict", model, "--data", tmp / "odd.csv", "--unknown", "infrequent:3", "-o", tmp / "z.csv"), 2, "column 'town'", "in training")
    code("a category of numbers", hone(*base[:-3], "--impute", "age=missing,town=most"), 2, "column 'age' has numbers and no categories")
    write(tmp / "called.csv", [dict(row, town="missing" if row["town"] else "") for row in rows], list(rows[0]))
    called = ["train", tmp / "u3.onnx", "--data", tmp / "called.csv", *data[2:], "--epochs", "1", "--impute"]
    code("a category called missing", hone(*called, "town=missing,size=most"), 2, "has a category that is called so", "town=constant:missing")
    code("nothing is missing", hone("train", net, *data, "--epochs", "1", "--impute", "missing"), 0, "column 'size' misses nothing in the training rows")


def test_decimal():
    """European tables: 3,14 is a number when it is said, in training and, by the model's record, later; never by a guess."""
    r = random.Random(8)
    names = ["a", "b", "kind", "t", "y"]
    rows = [{"a": f"{r.gauss(0, 3):.6g}", "b": f"{r.gauss(0, 1e4):.3e}", "kind": r.choice(["1.5", "10.25", "2"]), "t": f"{r.gauss(0, 1):.17g}",
             "y": r.choice(["1.0", "2.5", "3.0"])} for _ in range(80)]
    for row in rows[::9]:
        row["a"] = ""
    comma = [{k: v.replace(".", ",") for k, v in row.items()} for row in rows]
    plain, euro, tabs, quoted, bare = (tmp / f"dec{k}.csv" for k in range(5))
    write(plain, rows, names)
    for path, between in ((euro, ";"), (tabs, "\t")):
        path.write_text("\n".join(between.join(line) for line in [names, *(row.values() for row in comma)]) + "\n")
    write(quoted, comma, names)  # "1,5","2,5"
    bare.write_text("\n".join(";".join(row.values()) for row in comma) + "\n")
    net, told = tmp / "dn.onnx", {}
    code("a net", hone("new", "4-5-1 tanh", "--seed", "6", "-o", net), 0)
    job = ["--target", "t", "--encode", "kind=ordinal", "--impute", "mean", "--epochs", "2", "--val-split", "0.2", "--save", "last", "--force", "--json"]
    for path, more in ((plain, []), (euro, ["--decimal", ","]), (tabs, ["--decimal=,"]), (quoted, ["--decimal", ","]), (bare, ["--decimal", ","])):
        given = [part.replace("kind", "c2") if path == bare else part for part in job]
        given = [{"t": "3"}.get(part, part) for part in given] if path == bare else given
        out = tmp / f"{path.stem}.onnx"
        run = hone("train", net, "--data", path, *given, *more, "-o", out)
        code(f"train on {path.name}", run, 0)
        told[path] = (run.json["train"], run.json["val"])
        check("the same numbers", told[path] == told[plain], told)
        check("the record tells", (b"\tdecimal\t," in out.read_bytes()) == (path != plain))
    scored = {}
    for path in (euro, tabs, bare):
        e = hone("eval", tmp / "dec1.onnx", "--data", path, "--target", "3" if path == bare else "t", "--json")
        code(f"eval by the record, {path.name}", e, 0)
        scored[path] = e.json["loss"]
        check("which is not worth a word", "decimal" not in e.err, e.err)
    code("commas between cells are for points", hone("eval", tmp / "dec1.onnx", "--data", plain, "--target", "t", "--unknown", "kind=ignore"), 0, "'kind': ")
    check("one as the other", len(set(scored.values())) == 1, scored)
    code("predict", hone("predict", tmp / "dec1.onnx", "--data", euro, "--with-input", "--force", "-o", tmp / "p.csv"), 0)
    lines = list(csv.reader(open(tmp / "p.csv")))
    check("the cells as they stand, outputs with a point", lines[1][:5] == list(comma[0].values()) and "." in lines[1][5] and float(lines[1][5]), lines[1])
    again = hone("train", tmp / "dec1.onnx", "--data", euro, "--target", "t", "--epochs", "1", "-o", tmp / "dec9.onnx", "--json")
    code("trained on by the record", again, 0)
    check("which stays", b"\tdecimal\t," in (tmp / "dec9.onnx").read_bytes())
    points = tmp / "points.csv"
    points.write_text(euro.read_text().replace(",", "."))
    code("points where commas are known", hone("eval", tmp / "dec1.onnx", "--data", points, "--target", "t"), 4, "row 2, column 'b': found '", "as those that the model learned from",
         "--decimal . if they have a point")
    code("unless it is said", hone("train", tmp / "dec1.onnx", "--data", points, "--target", "t", "--decimal", ".", "--unknown", "ignore", "--epochs", "1", "-o", tmp / "dec8.onnx"), 0,
         "--decimal counts; the model's record of its training table has ','")
    check("then the record has points", b"\tdecimal" not in (tmp / "dec8.onnx").read_bytes())
    code("a comma nobody spoke of", hone("train", net, "--data", euro, *job, "-o", tmp / "z.onnx"), 4, "row 2, column 'b': found '", "--decimal , if numbers have a decimal comma")
    code("without a header", hone("train", net, "--data", bare, *[{"t": "3"}.get(p, p.replace("kind", "c2")) for p in job], "-o", tmp / "z.onnx"), 4, "--decimal , if ';' separates the cells")
    code("another sign", hone("train", net, "--data", euro, *job, "--decimal", ";", "-o", tmp / "z.onnx"), 2, "found ';', wanted .|,")
    (tmp / "thousand.csv").write_text("a;b;kind;t;y\n1.234,5;2;2;3;1\n")
    code("thousands are no numbers", hone("train", net, "--data", tmp / "thousand.csv", *job, "--decimal", ",", "-o", tmp / "z.onnx"), 4, "found '1.234,5', wanted a number")
    code("classes", hone("new", "1-3 softmax", "-o", tmp / "dc0.onnx"), 0)
    (tmp / "dc.csv").write_text("a;y\n" + "".join(f"{i},5;{i % 3 + 1},{'05'[i % 3 == 1]}\n" for i in range(30)))
    code("that are numbers", hone("train", tmp / "dc0.onnx", "--data", tmp / "dc.csv", "--target", "y", "--loss", "ce", "--decimal", ",", "--epochs", "1", "-o", tmp / "dc.onnx"), 0, "1, 2.5, 3")
    (tmp / "x.csv").write_text("a;b;c;d\n" + "1,5;2;0;1,25\n" * 4)
    (tmp / "x2.csv").write_text("a,b,c,d\n" + "1.5,2,0,1.25\n" * 4)
    for name, more in (("x", ["--decimal", ","]), ("x2", [])):
        code("an array in a CSV file", hone("predict", net, "--x", tmp / f"{name}.csv", *more, "--force", "-o", tmp / f"{name}.p.csv"), 0)
    check("is read so, too", (tmp / "x.p.csv").read_bytes() == (tmp / "x2.p.csv").read_bytes())


def config(text):
    (tmp / "c.yaml").write_text(text)
    return tmp / "c.yaml"


def test_tune():
    runs = []
    for jobs in (1, 2):
        r = hone("tune", NET, "--data", TRAIN, *TABLE, "--impute", "mean", "--scale", "standard", "--folds", "4", "--search", "lr=log:1e-3..1e-1",
                 "--trials", "6", "--epochs", "4", "--jobs", jobs, "-o", tmp / f"t{jobs}.onnx", "--json", "--progress", "none")
        code(f"tune --jobs {jobs}", r, 0)
        runs.append([(t["number"], t["value"]) for t in r.json["trials"]])
    check("the same trials for any --jobs", runs[0] == runs[1])
    check("the same bytes", (tmp / "t1.onnx").read_bytes() == (tmp / "t2.onnx").read_bytes())
    code("eval of the winner", hone("eval", tmp / "t1.onnx", "--data", VAL, "--target", "label"), 0)


def test_labels():
    """Of a class, --argmax writes what the training table called it; a score's column is called by its class."""
    where = ["predict", tmp / "t1.onnx", "--data", VAL, "--target", "label", "--force", "--json"]
    code("scores", hone(*where, "-o", tmp / "s.csv"), 0)
    check("columns by class", open(tmp / "s.csv").readline().strip() == "y_no,y_yes", open(tmp / "s.csv").readline())
    code("labels", hone(*where, "--argmax", "-o", tmp / "l.csv"), 0)
    labels = [line[0] for line in list(csv.reader(open(tmp / "l.csv")))[1:]]
    check("each row's label", labels == [["no", "yes"][b > a] for a, b in predictions(tmp / "s.csv")], labels[:5])
    code("beside the inputs", hone(*where, "--argmax", "--with-input", "-o", tmp / "i.csv"), 0)
    check("labels last", [line[-1] for line in list(csv.reader(open(tmp / "i.csv")))[1:]] == labels)
    code("an array", hone(*where, "--argmax", "-o", tmp / "l.npy"), 0)
    raw = (tmp / "l.npy").read_bytes()
    values = struct.unpack(f"<{len(labels)}q", raw[-8 * len(labels):])
    check("numbers of text classes", b"'<i8'" in raw[:128] and list(values) == [["no", "yes"].index(v) for v in labels], values[:5])


def test_spelling():
    """Labels that are numbers in a spelling of their own come back in it; which class is meant is never guessed."""
    table, out = tmp / "spelled.csv", tmp / "spelled.onnx"
    code("a net", hone("new", "1-2 softmax", "-o", tmp / "two.onnx"), 0)
    made = {"00 and 01": ("00", "01"), "-1 and +1": ("-1", "+1"), "1.0 and 2.0": ("1.0", "2.0"), "0.0 and 1.0": ("0.0", "1.0")}
    told = {"1.0 and 2.0": ("1", "2"), "0.0 and 1.0": ("0", "1")}  # plain numbers
    for what, names in made.items():
        table.write_text("a,y\n" + "".join(f"{k - 0.5},{names[k]}\n" for k in (0, 1) * 20))
        code(what, hone("train", tmp / "two.onnx", "--data", table, "--target", "y", "--lr", "0.3", "--force", "-o", out), 0)
        code("labels", hone("predict", out, "--data", table, "--ignore", "y", "--argmax", "--force", "-o", tmp / "l.csv"), 0)
        labels = [line[0] for line in list(csv.reader(open(tmp / "l.csv")))[1:]]
        check(f"{what} come back", labels == list(told.get(what, names)) * 20, labels[:4])
    table.write_text("a,y\n1,01\n2,0\n3,1\n")
    where = ["train", tmp / "two.onnx", "--data", table, "--target", "y", "--force", "-o", out]
    code("1 and 01", hone(*where), 4, "label '01' in row 2 and '1' in row 4, wanted one spelling")
    table.write_bytes("a,y\n1,ja\n2,für\n".encode("latin1"))
    code("latin1", hone(*where), 4, "row 3, column 1 (from 0): found the byte 0xFC", "iconv -f latin1")


def test_with_input():
    """The table's own cells stand in front of the outputs: what was encoded, filled, ignored or never read is there as it was."""
    head = "id;age;colour;y;label"
    rows = ["007;30.50;blue;\"a;b, \"\"c\"\"\";yes", "008; ;\"red\" ;=1+1;no", "9;4e1;green;;yes", "010;-7;blue;\"two\nlines\";no"]
    (tmp / "w.csv").write_text("\r\n".join([head, *rows, ""]), newline="")
    cells = [["007", "30.50", "blue", 'a;b, "c"', "yes"], ["008", "", "red", "=1+1", "no"], ["9", "4e1", "green", "", "yes"],
             ["010", "-7", "blue", "two\nlines", "no"]]
    code("a model of four", hone("new", "4-4-2", "-o", tmp / "w0.onnx"), 0)
    code("train", hone("train", tmp / "w0.onnx", "--data", tmp / "w.csv", "--target", "label", "--ignore", "id,y", "--encode", "colour=onehot", "--impute",
                       "mean", "--epochs", "2", "-o", tmp / "w1.onnx"), 0)
    (tmp / "w.csv.gz").write_bytes(gzip.compress((tmp / "w.csv").read_bytes()))
    for what, source, given in (("a file", tmp / "w.csv", None), ("gzip", tmp / "w.csv.gz", None), ("standard input", "-", (tmp / "w.csv").read_bytes())):
        args = ["predict", tmp / "w1.onnx", "--data", source, "--force"]
        code(f"scores beside {what}", hone(*args, "--with-input", "-o", tmp / "w2.csv", stdin=given), 0)
        code("scores", hone(*args, "-o", tmp / "w3.csv", stdin=given), 0)
        got, plain = (list(csv.reader(open(tmp / f, newline=""))) for f in ("w2.csv", "w3.csv"))
        check(f"{what}: the names", got[0] == [*head.split(";"), "y_no", "y_yes"], got[0])
        check(f"{what}: the cells", [line[:5] for line in got[1:]] == cells, got)
        check(f"{what}: the outputs", [line[5:] for line in got[1:]] == plain[1:], got)
    check("as they are", (tmp / "w2.csv").read_bytes().startswith((head.replace(";", ",") + ",y_no,y_yes\n007,30.50,blue,\"a;b, \"\"c\"\"\",yes,").encode()))
    r = hone("predict", tmp / "w1.onnx", "--data", tmp / "w.csv", "--force", "--argmax", "--with-input", "-o", tmp / "w2.csv")
    code("a column of the output's name", r, 0, "the table has a column 'y': the output's is called 'predicted_y'")
    check("both are there", open(tmp / "w2.csv").readline() == "id,age,colour,y,label,predicted_y\n", open(tmp / "w2.csv").readline())
    (tmp / "bare.csv").write_text("1,blue\n2,red\n")
    code("a table without names", hone("predict", tmp / "w1.onnx", "--data", tmp / "bare.csv", "--force", "--argmax", "--with-input", "-o", tmp / "w2.csv"), 0)
    check("has those it is known by", [line[:2] for line in csv.reader(open(tmp / "w2.csv"))] == [["c0", "c1"], ["1", "blue"], ["2", "red"]])
    (tmp / "x.csv").write_text("1.50,0,1,0\n2,1,0,0\n")
    code("an array", hone("predict", tmp / "w1.onnx", "--x", tmp / "x.csv", "--force", "--argmax", "--with-input", "-o", tmp / "w2.csv"), 0)
    check("is its numbers", [line[:4] for line in csv.reader(open(tmp / "w2.csv"))][1] == ["1.5", "0", "1", "0"])


def test_refusals(val):
    base = ["train", NET, "--data", TRAIN, "--target", "label", "--epochs", "1", "-o", tmp / "z.onnx"]
    code("text without --encode", hone(*base), 4, "column 'colour'", "--encode colour=onehot|ordinal")
    code("a gap without --impute", hone(*base, "--encode", "colour=onehot,size=ordinal"), 4, "(missing)", "--impute")
    code("another encoding", hone(*base, "--encode", "colour=binary"), 2, "found 'colour=binary'", "wanted COLUMN=onehot")
    code("no such column", hone(*base, "--encode", "color=onehot"), 4, "no column 'color'", "did you mean 'colour'?")
    code("the target", hone(*base, "--encode", "label=onehot"), 2, "it is not a feature")
    code("no table", hone("train", NET, "--x", TRAIN, "--y", TRAIN, "--impute", "mean", "--epochs", "1", "-o", tmp / "z.onnx"), 2, "--data")
    code("a fill that suits no column", hone(*base, "--encode", "colour=onehot,size=ordinal", "--impute", "mauve"), 2, "--impute 'mauve'")
    write(tmp / "odd.csv", [dict(val[0], colour="mauve")])
    code("a category nobody saw", hone("predict", tmp / "a.onnx", "--data", tmp / "odd.csv", "-o", tmp / "z.csv"), 4, "row 2", "'mauve'")
    code("too few columns for the input", hone("train", NET, "--data", TRAIN, "--target", "label", "--ignore", "colour", "--encode", "size=ordinal",
                                               "--impute", "mean", "--epochs", "1", "-o", tmp / "z.onnx"), 4, "a row has 3 values", "wants 6")


def test_inputs_by_name():
    """A model of several inputs that want one value each: columns of their names feed them, spelled as an exporter spells them."""
    net, table = DATA / "frames" / "numbers.onnx", DATA / "frames" / "table.csv"
    named = ["age=age", "hours_a_week=hours-a-week", "zip=zip", "kind=kind"]
    told = [part for item in named for part in ("--input", item)]
    rows = list(csv.DictReader(open(table)))
    write(tmp / "turned.csv", rows, ("y", "kind", "city", "zip", "hours-a-week", "age"))
    few = [dict(row, **{"hours-a-week": row["age"]}) for row in rows]
    write(tmp / "few.csv", few, ("age", "kind", "zip", "y"))
    want = hone("eval", net, "--data", table, "--target", "y", *told, "--json")
    code("eval, told", want, 0)
    for what, file in (("by name", table), ("in another order", tmp / "turned.csv")):
        got = hone("eval", net, "--data", file, "--target", "y", "--json")
        code(f"eval {what}", got, 0)
        check(f"eval {what}: the same", got.json["loss"] == want.json["loss"], (got.json, want.json))
        check(f"eval {what}: it is said", "the 4 inputs 'age' ... 'kind' come from the columns of their names" in got.err, got.err)
    a = hone("train", net, "--data", table, "--target", "y", "--val-data", tmp / "turned.csv", "--epochs", "2", "--json", "-o", tmp / "n1.onnx")
    b = hone("train", net, "--data", table, "--target", "y", *told, "--val-data", table, "--epochs", "2", "--json", "-o", tmp / "n2.onnx")
    code("train by name", a, 0)
    check("the same model", (tmp / "n1.onnx").read_bytes() == (tmp / "n2.onnx").read_bytes() and a.json["val"] == b.json["val"])
    code("lr-find by name", hone("lr-find", net, "--data", table, "--target", "y", "--json"), 0)
    p = hone("predict", net, "--data", table, "--with-input", "-o", tmp / "w.csv")
    code("predict by name", p, 0)
    lines = list(csv.reader(open(tmp / "w.csv")))
    names = list(rows[0])
    check("all columns are beside the outputs", lines[0] == [*names, "label", "probabilities_hi", "probabilities_lo"], lines[0])
    check("with their cells", lines[1][:len(names)] == list(rows[0].values()), lines[1])
    code("no column for an input", hone("eval", net, "--data", tmp / "few.csv", "--target", "y"), 4, "input 'age' wants 1", "--input age=COLUMN", "'hours_a_week'")
    code("a column is ignored", hone("eval", net, "--data", table, "--target", "y", "--ignore", "zip,city,grade"), 4, "--input age=COLUMN", "'zip'")
    code("validation lacks one", hone("train", net, "--data", table, "--target", "y", "--val-data", tmp / "few.csv", "--epochs", "1", "-o", tmp / "z.onnx"), 4, "few.csv", "no column 'hours-a-week'")
    holes = [dict(row, age="") if i % 9 == 4 else row for i, row in enumerate(rows)]
    write(tmp / "holes.csv", holes, list(rows[0]))
    filled = hone("train", net, "--data", tmp / "holes.csv", "--target", "y", "--impute", "median", "--epochs", "1", "--json", "-o", tmp / "n3.onnx")
    code("gaps are filled", filled, 0)
    again = hone("eval", tmp / "n3.onnx", "--data", tmp / "holes.csv", "--target", "y", "--json")
    code("by the model's record later", again, 0)
    check("as in training", abs(again.json["loss"] - filled.json["train"]["loss"]) < 1e-6, (again.json, filled.json["train"]))


train, val = make_rows(1, 300), make_rows(2, 80)
write(TRAIN, train)
write(VAL, val)
code("a model", hone("new", "6-8-2 tanh", "-o", NET), 0)
test_numbers(train, val)
test_inputs_by_name()
test_fills(train)
test_impute_by_column(train)
test_unknown(train)
test_decimal()
test_markers()
test_tune()
test_labels()
test_with_input()
test_spelling()
test_refusals(val)
_hone.finish("tables", tmp)
