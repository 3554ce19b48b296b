# SPDX-License-Identifier: MIT
"""A PostgreSQL server of Debian's package in a folder of its own, and a proxy that loses answers."""
import glob
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time


def find():
    """The folder of initdb and postgres, or None."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda p: float(p.split("/")[4]))
    return pathlib.Path(found[-1]).parent if found else None


class Server:
    """Unix socket and loopback; "hone" may do all, by trust on the socket; over TCP everybody needs a password."""

    def __init__(self):
        self.bin = find()
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="hone-pg-"))
        self.who = {}
        if os.geteuid() == 0:  # the server refuses to be root
            try:
                who = pwd.getpwnam("postgres")
            except KeyError:
                who = pwd.getpwnam("nobody")
            self.who = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
            os.chown(self.root, who.pw_uid, who.pw_gid)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.data = self.root / "data"
        self.process = None
        subprocess.run([self.bin / "initdb", "-D", self.data, "-U", "hone", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
                       check=True, stdout=subprocess.DEVNULL, cwd=self.root, **self.who)
        hba = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (self.data / "pg_hba.conf").write_text(hba)
        self.start()

    def start(self):
        with open(self.root / "log", "ab") as log:
            self.process = subprocess.Popen([self.bin / "postgres", "-D", self.data, "-k", self.root, "-p", str(self.port), "-c",
                                             "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=40"],
                                            stdout=log, stderr=log, cwd=self.root, **self.who)
        for _ in range(600):
            if self.sql("SELECT 1", fail=False) == "1":
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError("the server does not start:\n" + (self.root / "log").read_text()[-2000:])

    def stop(self, crash=False):
        """Orderly and quickly, or as if the power had gone."""
        self.process.send_signal(3 if crash else 2)
        self.process.wait(timeout=60)

    def sql(self, text, fail=True):
        r = subprocess.run([self.bin / "psql", "-X", "-q", "-A", "-t", "-h", self.root, "-p", str(self.port), "-U", "hone", "-d",
                            "postgres", "-v", "ON_ERROR_STOP=1", "-c", text], capture_output=True, text=True)
        if fail and r.returncode:
            raise RuntimeError(r.stderr)
        return r.stdout.strip()

    def uri(self, study=None, who="hone", tcp=False, port=None, more=""):
        where = f"127.0.0.1:{port or self.port}/postgres?application_name=test" if tcp or port else \
            f"/postgres?host={self.root}&port={self.port}"
        return f"postgresql://{who}@{where}" + (f"&hone_study={study}" if study else "") + more

    def close(self):
        if self.process and self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.root, ignore_errors=True)


class Proxy:
    """Between client and server. Every `every`-th COMMIT is cut: `before` it reaches the server, or after the server has done
    it, so that the answer is lost. cuts counts them."""

    def __init__(self, port, every, before):
        self.to, self.every, self.before = port, every, before
        self.commits = self.cuts = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            server = socket.create_connection(("127.0.0.1", self.to))
        except OSError:
            client.close()
            return
        lose = threading.Event()
        lost = threading.Event()

        def answers():
            try:
                while data := server.recv(65536):
                    if lose.is_set():
                        break
                    client.sendall(data)
            except OSError:
                pass
            lost.set()
            self.hang_up(client, server)
        threading.Thread(target=answers, daemon=True).start()
        try:
            while data := client.recv(65536):
                if b"; COMMIT\0" in data:  # not the one in READ COMMITTED
                    self.commits += 1
                    if self.commits % self.every == 0:
                        self.cuts += 1
                        if self.before:
                            break
                        lose.set()
                        server.sendall(data)
                        lost.wait(20)
                        break
                server.sendall(data)
        except OSError:
            pass
        self.hang_up(client, server)

    @staticmethod
    def hang_up(*sockets):
        for s in sockets:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def close(self):
        self.listener.close()


def need():
    if not find():
        print("skipped: no PostgreSQL server under /usr/lib/postgresql (Debian's package postgresql)")
        sys.exit(77)
