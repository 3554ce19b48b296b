#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Studies in PostgreSQL, on a server of their own: the same search as in a file; many workers, one of them killed; a server
that stops, crashes, or loses the answer to a commit; other studies, other tables, wrong passwords and missing rights."""
import concurrent.futures
import json
import os
import random
import re
import signal
import subprocess
import time

import _hone
import _postgres
from _hone import BUILD, HONE, check, code, hone

_hone.need_hone()
if hone("doctor", "--json").json["libraries"]["postgresql"] == "not in this build":
    code("a build without PostgreSQL says so", hone("ask", "postgresql://u:secret@h/d", "--search", "x=0..1"), 2, "this build",
         "libpq-dev")
    _hone.finish("postgres (a build without it)")
_postgres.need()
tmp = _hone.folder()
server = _postgres.Server()
NET, DATA = tmp / "net.onnx", tmp / "data.csv"
PASSWORD = "s3cret-Passw0rd"
JOB = ["--data", DATA, "--target", "label", "--scale", "standard", "--seed", "3", "--search", "lr=log:1e-4..1e-1", "--search",
       "batch_size=16,32,64", "--search", "optimizer=adam,momentum", "--search", "momentum=0.5..0.95?optimizer=momentum",
       "--folds", "3", "--trials", "16", "--epochs", "150", "--progress", "none", "--json"]


def make_data():
    r = random.Random(5)
    with open(DATA, "w") as f:
        f.write("a,b,c,label\n")
        for _ in range(400):
            x = [r.gauss(0, 1) for _ in range(3)]
            z = x[0] + 0.7 * x[1] - 0.6 * x[2] + r.gauss(0, 0.4)
            f.write(",".join(f"{v:.6g}" for v in x) + f",{0 if z < -0.6 else 1 if z < 0.5 else 2}\n")
    code("a model", hone("new", "3-16-3 relu softmax", "-o", NET), 0)


def command(study, out, *more):
    return [str(a) for a in [HONE, "tune", NET, *JOB, "--study", study, "-o", out, *more]]


def start(study, out, *more):
    return subprocess.Popen(command(study, out, *more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def settings(j):
    return [(t["number"], t["state"], t["params"], t["value"], t["folds"], t["epochs"]) for t in j["trials"]]


def rows(study, what):
    return server.sql(f'SELECT {what} FROM "hone_{study}".trial')


def wait_for(study, done, process):
    """Until so many trials are done, or the process has ended."""
    while process.poll() is None and int(server.sql(f"""SELECT CASE WHEN to_regclass('"hone_{study}".trial') IS NULL THEN '0' ELSE
            (xpath('/row/n/text()', query_to_xml('SELECT count(*) AS n FROM "hone_{study}".trial WHERE state=2', false, true, '')))
            [1]::text END""")) < done:
        time.sleep(0.02)


def same(name, said, out):
    j = json.loads(said)
    check(f"{name}: the trials of the undisturbed search", settings(j) == settings(WHOLE))
    check(f"{name}: the same bytes", out.read_bytes() == (tmp / "whole.onnx").read_bytes())


def test_the_same_search():
    r = subprocess.run(command(server.uri("alone"), tmp / "alone.onnx"), capture_output=True, text=True)
    check("a search in a database", r.returncode == 0, r.stderr)
    same("in a database", r.stdout, tmp / "alone.onnx")
    j = json.loads(r.stdout)
    check("where it is", j["study"] == f"postgresql://hone@/postgres?hone_study=alone", j["study"])
    r = subprocess.run(command(server.uri("alone"), tmp / "alone.onnx", "--force"), capture_output=True, text=True)
    check("run again: nothing is left to do", r.returncode == 0 and settings(json.loads(r.stdout)) == settings(j), r.stderr)
    os.unlink(tmp / "alone.onnx")
    r = subprocess.run(command(server.uri("alone"), tmp / "alone.onnx"), capture_output=True, text=True)
    check("into the run folder that is there", r.returncode == 0, r.stderr)


def test_two_workers_one_killed():
    study = server.uri("pair")
    victim = start(study, tmp / "victim.onnx", "--jobs", "1")
    other = start(study, tmp / "other.onnx", "--jobs", "1")
    wait_for("pair", 4, victim)
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    said, err = other.communicate()
    check("the other one ends well", other.returncode == 0, err)
    check("one was killed on its way", victim.returncode == -9, victim.returncode)
    same("one of two killed", said, tmp / "other.onnx")
    check("every trial once", rows("pair", "count(*), count(distinct number), sum((state=2)::int)") == "16|16|16")
    check("what the dead one had was taken over", rows("pair", "max(attempts)") == "2", rows("pair", "number, attempts"))


def test_server_goes_away():
    for crash in (False, True):
        name = "crash" if crash else "restart"
        out = tmp / f"{name}.onnx"
        p = start(server.uri(name), out)
        wait_for(name, 5, p)
        server.stop(crash)
        time.sleep(1)
        server.start()
        said, err = p.communicate()
        check(f"{name}: goes on", p.returncode == 0, err)
        check(f"{name}: said so", "the server has gone" in err and "is back after" in err, err)
        same(name, said, out)
        check(f"{name}: no trial was run twice", rows(name, "max(attempts)") == "1", rows(name, "number, attempts"))
    p = start(server.uri("gone", more="&hone_wait=1"), tmp / "gone.onnx")
    wait_for("gone", 2, p)
    server.stop()
    said, err = p.communicate()
    check("a server that stays away", p.returncode == 6 and "waited 1 seconds" in err and json.loads(said)["ok"] is False,
          (p.returncode, err))
    p = subprocess.run([HONE, "ask", server.uri("gone")], capture_output=True, text=True)
    check("no server", p.returncode == 6 and "cannot open the study" in p.stderr and "--space" not in p.stderr, p.stderr)
    server.start()
    r = subprocess.run(command(server.uri("gone"), tmp / "gone.onnx"), capture_output=True, text=True)
    check("run again when it is back", r.returncode == 0, r.stderr)
    same("after a server that was away", r.stdout, tmp / "gone.onnx")
    p = start(server.uri("patience"), tmp / "patience.onnx")
    wait_for("patience", 2, p)
    server.stop()
    time.sleep(0.5)
    p.send_signal(signal.SIGINT)
    said, err = p.communicate(timeout=60)
    check("SIGINT ends the wait", p.returncode in (6, 130), (p.returncode, err))
    server.start()


def test_leases():
    """Whom only the lease judges: a worker on another machine. It could not renew while the server was away."""
    p = start(server.uri("lease"), tmp / "lease.onnx", "--jobs", "1")
    wait_for("lease", 2, p)
    p.kill()
    p.communicate()
    server.sql("""UPDATE hone_lease.trial SET lease=1, owner='elsewhere@host:1:2:3:4' WHERE state=1""")
    running = rows("lease", "count(*) FILTER (WHERE state=1)")
    check("it died with a trial", int(running) > 0, running)
    server.stop()
    server.start()
    p = start(server.uri("lease"), tmp / "lease.onnx", "--jobs", "1")
    time.sleep(3)
    check("nobody takes it over so soon", p.poll() is None and rows("lease", "max(attempts), count(*) FILTER (WHERE state=1 AND owner "
          "LIKE 'elsewhere%')") == "1|" + running, rows("lease", "number, state, attempts, owner"))
    server.sql("UPDATE hone_lease.trial SET state=0, owner='', lease=0 WHERE owner LIKE 'elsewhere%'")
    said, err = p.communicate()
    check("then the others finish it", p.returncode == 0, err)
    same("given back", said, tmp / "lease.onnx")


def test_lost_commits():
    """A commit that was not answered has happened or not: either way every trial is there once."""
    for before in (False, True):
        name = "unsent" if before else "unanswered"
        proxy = _postgres.Proxy(server.port, 5, before)
        out = tmp / f"{name}.onnx"
        r = subprocess.run(command(server.uri(name, who=f"worker:{PASSWORD}", port=proxy.port), out), capture_output=True, text=True,
                           timeout=300)
        check(f"{name} commits", r.returncode == 0 and proxy.cuts >= 5, (r.stderr, proxy.cuts))
        same(f"{name} commits", r.stdout, out)
        check(f"{name} commits: every trial once", rows(name, "count(*), max(attempts)") == "16|1", rows(name, "number, attempts"))
        proxy.close()
        check("no password is shown", PASSWORD not in r.stdout + r.stderr)
        found = [str(f) for f in tmp.rglob("*") if f.is_file() and PASSWORD.encode() in f.read_bytes()]
        check("no password is written", not found, found)


def test_ask_and_tell():
    studies = [server.uri(name) for name in ("a", "B-2", "b.2")]
    for k, study in enumerate(studies):
        r = hone("ask", study, "--search", f"x{k}=0..1", "--seed", k, "--json")
        code("ask", r, 0)
        check("its own first trial", r.json["trial"] == 0 and list(r.json["params"]) == [f"x{k}"], r.out)
    for k, study in enumerate(studies):
        code("tell", hone("tell", study, 0, k + 0.5), 0, f"trial 0 with {k + 0.5}")
        code("told twice", hone("tell", study, 0, 4), 2, "has ended before", "hone_study=")
        out = tmp / f"export{k}.log"
        r = hone("export", study, "--optuna", out, "--json")
        check("export", r.code == 0 and r.json["study_name"] == ("a", "B-2", "b.2")[k] and r.json["trials"] == 1, r.err)
        check("a line for the trial", json.loads(out.read_text().splitlines()[-1])["value"] == k + 0.5)
    code("another space", hone("ask", studies[0], "--search", "y=0..1"), 2, "another search space")
    code("another sampler", hone("ask", studies[0], "--sampler", "tpe"), 2, "found gp, wanted tpe")
    file = tmp / "same.db"
    for t in range(14):
        got = [hone("ask", where, "--search", "x=0..1", "--search", "c=a,b", "--seed", 9, "--json").json["params"]
               for where in (file, server.uri("same"))]
        check("the same proposals as in a file", got[0] == got[1], got)
        for where in (file, server.uri("same")):
            hone("tell", where, t, repr((got[0]["x"] - 0.3) ** 2 + (got[0]["c"] == "a")))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        many = server.uri("many")
        got = list(pool.map(lambda _: hone("ask", many, "--search", "x=0..1", "--sampler", "random", "--json"), range(16)))
    check("made by eight at once", sorted(r.json.get("trial", -1) for r in got) == list(range(16)), [r.err for r in got if r.code])


def test_refused():
    ask = ["--search", "x=0..1"]
    code("no such study", hone("ask", server.uri("none")), 6, "there is no such study", "--space")
    check("nothing was made", server.sql("SELECT count(*) FROM pg_namespace WHERE nspname='hone_none'") == "0")
    server.sql('CREATE SCHEMA hone_other; CREATE TABLE hone_other.trial(x int)')
    code("somebody else's tables", hone("ask", server.uri("other"), *ask), 2, "is there and is no study")
    server.sql('CREATE SCHEMA hone_empty')
    code("an empty schema is taken", hone("ask", server.uri("empty"), *ask), 0)
    for bad, texts in [(f"postgresql://u:{PASSWORD}/x@h/d", ["%2F"]), (f"postgresql://u:{PASSWORD}?x@h/d", ["%3F"]),
                       (f"postgresql://u:{PASSWORD}@h:x/d", ["cannot read"]), (f"postgresql://u:{PASSWORD}@h/d?nonsense=1", ["cannot read"]),
                       (f"postgresql://u:{PASSWORD}#@h/d", ["%23"]), (f"postgresql://u:{PASSWORD}@h/d?hone_study=a/b", ["letters"]),
                       (f"postgresql://u:{PASSWORD}@h/d?hone_wait=x", ["hone_wait"]), (f"postgres://u:{PASSWORD}@h/d?hone_stduy=x", ["hone_study"])]:
        r = hone("ask", bad, *ask)
        code(f"address {bad}", r, 2, *texts)
        check("without the password", PASSWORD not in r.out + r.err, r.err)
    r = hone("ask", server.uri("pw", who=f"worker:{PASSWORD}x", tcp=True), *ask, "--json")
    code("a wrong password", r, 6, "password authentication failed")
    check("without the password", PASSWORD not in r.out + r.err, r.err)
    code("no rights", hone("ask", server.uri("rights", who="guest"), *ask), 6, "permission denied", "CREATE on the database")
    code("no rights to this study", hone("ask", server.uri("a", who="guest")), 6, "permission denied")
    server.sql('GRANT USAGE ON SCHEMA hone_a TO guest; GRANT SELECT ON ALL TABLES IN SCHEMA hone_a TO guest')
    read = hone("export", server.uri("a", who="guest"), "--optuna", tmp / "read.log", "--json")
    check("who may only read can export", read.code == 0 and read.json["trials"] == 1, read.err)
    code("and ask nothing", hone("ask", server.uri("a", who="guest")), 6, "permission denied")
    server.sql('GRANT USAGE ON SCHEMA hone_a TO guest; GRANT ALL ON ALL TABLES IN SCHEMA hone_a TO guest')
    code("rights on the tables are enough", hone("ask", server.uri("a", who="guest")), 0)
    server.sql("ALTER ROLE guest SET default_transaction_read_only TO on")
    code("a read-only database", hone("ask", server.uri("a", who="guest")), 6, "read-only")
    code("no such database", hone("ask", server.uri("a").replace("/postgres?", "/nothing?"), *ask), 6, "nothing")
    r = hone("inspect", NET, server.uri("a", who=f"worker:{PASSWORD}", tcp=True))
    check("an address in the wrong place", r.code == 2 and PASSWORD not in r.err + r.out, r.err)
    r = hone("tune", NET, *JOB, "--study", server.uri("a", who=f"worker:{PASSWORD}", tcp=True), "-o", tmp / "x.onnx", "--print-config")
    check("the printed configuration", r.code == 0 and "study:" in r.out and PASSWORD not in r.out, r.out)


def test_study_on_the_server():
    program = BUILD / "test_tune_study"
    if not program.exists():
        return
    r = subprocess.run([program], env=dict(os.environ, HONE_TEST_DATABASE=server.uri(), OPENBLAS_NUM_THREADS="1"), capture_output=True, text=True)
    check("the tests of studies", r.returncode == 0 and int(re.search(r"100%: Checks: (\d+)", r.stdout)[1]) >= 11, r.stdout[-1500:] + r.stderr[-500:])


try:
    server.sql(f"CREATE ROLE worker LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE guest LOGIN; GRANT CREATE ON DATABASE postgres TO worker")
    make_data()
    WHOLE = hone("tune", NET, *JOB, "-o", tmp / "whole.onnx").json
    for test in (test_the_same_search, test_two_workers_one_killed, test_server_goes_away, test_leases, test_lost_commits, test_ask_and_tell,
                 test_refused, test_study_on_the_server):
        began = time.time()
        test()
        print(f"  {test.__name__}: {time.time() - began:.1f} s")
finally:
    server.close()
_hone.finish("postgres", tmp)
