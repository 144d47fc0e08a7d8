"""What goes to Lambda: the right files for the right machine, the same every time, and nothing else."""

import json
import marshal
import re
import zipfile
from importlib import import_module
from importlib.util import MAGIC_NUMBER, cache_from_source
from itertools import chain
from pathlib import Path

import pytest

from chalicelib.preloading import PRELOADED
from deploy import lock, packaging
from deploy.packaging import Package, digest, own_architecture, package
from deploy.problem import DeployProblem
from deploy.template import PROJECT

_ELF_MACHINE = {0xB7: "aarch64", 0x3E: "x86_64"}


def _names(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as content:
        return content.namelist()


def test_the_zip_of_the_functions_holds_only_the_application(packaged: Package) -> None:
    tops = {name.split("/")[0] for name in _names(packaged.code)}
    assert tops == {"app.py", "__pycache__", "chalicelib", "chalice"}
    assert "chalicelib/db/migrations/versions/0001_catalogue.py" in _names(packaged.code)

    ours = {str(path.relative_to(PROJECT)) for path in (PROJECT / "chalicelib").rglob("*.py")}
    assert ours <= set(_names(packaged.code))


def test_the_layer_holds_every_pinned_and_vendored_package(packaged: Package) -> None:
    names = _names(packaged.layer)

    found = {
        lock.canonical(match[1]): match[2]
        for name in names
        if (match := re.search(r"site-packages/([^/]+)-([^-/]+)\.dist-info/METADATA$", name))
    }
    assert found == lock.pins(PROJECT / "requirements.txt")
    assert any(name.endswith("/rds_certificates/roots.pem") for name in names)
    assert any(name.endswith("/swagger_ui_dist/swagger-ui-bundle.js.gz") for name in names)
    assert not any("/boto3/" in name or "/botocore/" in name for name in names)


def test_zips_are_small(packaged: Package) -> None:
    assert packaged.code.stat().st_size < 2_000_000
    assert packaged.layer.stat().st_size < 23_000_000


def test_every_module_comes_with_bytecode_that_lambda_takes_unchecked(packaged: Package) -> None:
    for archive in (packaged.code, packaged.layer):
        names = _names(archive)
        bytecode = {name for name in names if name.endswith(".pyc")}
        assert bytecode == {cache_from_source(name) for name in names if name.endswith(".py")}

        with zipfile.ZipFile(archive) as content:
            heads = {content.read(name)[:8] for name in bytecode}
        # Flags: a hash of the source that is not checked (PEP 552).
        assert heads == {MAGIC_NUMBER + b"\1\0\0\0"}


def test_tracebacks_show_the_paths_of_lambda(packaged: Package) -> None:
    with zipfile.ZipFile(packaged.code) as content:
        code = marshal.loads(content.read(cache_from_source("chalicelib/errors.py"))[16:])
    assert code.co_filename == "/var/task/chalicelib/errors.py"


@pytest.mark.parametrize(("architecture", "wanted"), [(None, "aarch64"), ("x86_64", "x86_64")])
def test_compiled_parts_are_for_the_requested_architecture(
    architecture: str | None, wanted: str, packaged: Package, tmp_path: Path
) -> None:
    result = packaged if architecture is None else package("dev", tmp_path / "out", architecture)
    with zipfile.ZipFile(result.layer) as content:
        compiled = [name for name in content.namelist() if name.endswith(".so")]
        machines = {_ELF_MACHINE[int.from_bytes(content.read(name)[18:20], "little")] for name in compiled}

    assert len(compiled) > 5
    assert machines == {wanted}

    declared = json.loads(result.template.read_text())["Resources"]["Ingest"]["Properties"]["Architectures"]
    assert declared == ["arm64" if wanted == "aarch64" else "x86_64"]


def test_a_commit_makes_the_same_bytes_with_a_new_and_a_kept_layer(
    packaged: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch, fetched = packaging.fetch_wheels, []

    def fetch_and_count(folder: Path, requirements: Path, architecture: str, *options: str) -> None:
        fetched.append(architecture)
        fetch(folder, requirements, architecture, *options)

    monkeypatch.setattr(packaging, "fetch_wheels", fetch_and_count)
    for folder in ("anew", "kept"):
        again = package("prod", tmp_path / folder, layers=tmp_path / "layers")
        assert [digest(path) for path in (again.code, again.layer, again.template)] == [
            digest(path) for path in (packaged.code, packaged.layer, packaged.template)
        ]

    assert fetched == ["arm64"]


def test_each_function_preloads_what_it_serves(packaged: Package) -> None:
    resources = json.loads(packaged.template.read_text())["Resources"].values()
    handlers = {one["Properties"]["Handler"] for one in resources if one["Type"] == "AWS::Serverless::Function"}
    assert handlers == {f"app.{function}" for function in PRELOADED}
    for module in chain.from_iterable(PRELOADED.values()):
        import_module(module)


def test_the_lock_file_pins_what_the_requirements_do(packaged: Package) -> None:
    assert lock.pins(packaging.LOCK) == lock.pins(PROJECT / "requirements.txt")


def test_a_wheel_that_is_not_the_locked_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = tmp_path / "requirements.lock"
    forged.write_text(re.sub(r"(six==\S+ \\\n    --hash=sha256:)\w{8}", r"\g<1>00000000", packaging.LOCK.read_text()))
    monkeypatch.setattr(packaging, "LOCK", forged)

    with pytest.raises(DeployProblem, match=r"THESE PACKAGES DO NOT MATCH THE HASHES|Got"):
        package("dev", tmp_path / "out", own_architecture())


def test_a_package_that_grew_too_large_is_refused(packaged: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaging, "CODE_LIMIT", 1000)
    with pytest.raises(DeployProblem, match="it may have 1,000"):
        packaging._check(packaged)


def test_a_stage_that_chalice_refuses_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    (source / "infra").mkdir(parents=True)
    for part in ("app.py", "requirements.txt"):
        (source / part).write_text("raise ValueError('broken')\n" if part == "app.py" else "")
    for part in ("chalicelib", "vendor", ".chalice"):
        (source / part).mkdir()
    (source / ".chalice" / "config.json").write_text((PROJECT / ".chalice" / "config.json").read_text())
    for part in (PROJECT / "infra").glob("*.yaml"):
        (source / "infra" / part.name).write_text(part.read_text())
    monkeypatch.setattr(packaging, "fetch_wheels", lambda *arguments: None)

    with pytest.raises(DeployProblem, match=r"`chalice package --stage dev` failed: .*broken"):
        package("dev", tmp_path / "out", own_architecture(), source)
