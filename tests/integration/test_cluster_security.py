"""Who may give work to the workers of a cluster, and what may change its settings."""

import datetime
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from distributed import LocalCluster

from kcd_pipeline.dask_settings import settings_of_own_cluster
from kcd_pipeline.errors import UserError
from kcd_pipeline.extraction import Cluster, cluster


def test_a_cluster_of_its_own_takes_work_from_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    with dask.config.set({"distributed.comm.timeouts.connect": "1ms"}):
        with cluster._start_workers(0) as client:  # they take seconds, and it is the scheduler that is asked
            address = client.scheduler.address
            assert address.startswith("tls://127.0.0.1:")
            for other in (address, address.replace("tls://", "tcp://")):
                refused = pytest.raises(UserError, match=rf"no dask scheduler answers at {other} .* certificates")
                with refused, Cluster(scheduler=other).connect():
                    pass
        assert dask.config.get("distributed.comm.timeouts.connect") == "1ms", "it is the user's again"


def test_only_the_folder_of_temporary_files_stays_the_user_s() -> None:
    mine = {"temporary-directory": "/elsewhere", "distributed.scheduler.allowed-failures": 0, "distributed.worker": 3}
    with dask.config.set(mine), settings_of_own_cluster():
        assert dask.config.get("temporary-directory") == "/elsewhere"
        assert dask.config.get("distributed.scheduler.allowed-failures") == 3
        assert dask.config.get("distributed.worker.daemon") is False
        assert dask.config.get("distributed.scheduler.http.routes") == ["distributed.http.health"]


def certificate(folder: Path) -> dict[str, str]:
    """Make a key and a certificate that it signs itself; return their files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "own.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "own-key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return {"cert": str(folder / "own.pem"), "key": str(folder / "own-key.pem")}


def test_a_scheduler_with_certificates_is_reached_by_dasks_configuration(tmp_path: Path) -> None:
    own = certificate(tmp_path)
    tls: dict[str, Any] = {"distributed.comm.tls.ca-file": own["cert"], "distributed.comm.require-encryption": True}
    tls |= {f"distributed.comm.tls.{role}": own for role in ("scheduler", "worker", "client")}
    with (
        dask.config.set(tls),
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, protocol="tls", dashboard_address=None, host="127.0.0.1"
        ) as running,
        Cluster(scheduler=running.scheduler_address).connect() as client,
    ):
        assert running.scheduler_address.startswith("tls://")
        assert client.submit(lambda: 3).result(30) == 3


def test_a_configuration_of_dask_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("distributed: [")
    done = subprocess.run(
        [sys.executable, "-c", "import kcd_pipeline.condensation"],
        env={**os.environ, "DASK_CONFIG": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "UserError: dask cannot be loaded: A dask config file at" in done.stderr
    assert "mine.yaml" in done.stderr
