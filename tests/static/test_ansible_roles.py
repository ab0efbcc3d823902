"""Every role has one anatomy, so that a reader who knows one role knows them all."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ANSIBLE = Path(__file__).parents[2] / "ansible"
ROLES = sorted(path for path in (ANSIBLE / "roles").iterdir() if path.is_dir())
TASK_FILES = sorted(ANSIBLE.glob("roles/*/tasks/*.yml"))
COMMANDS = {"ansible.builtin.command", "ansible.builtin.shell", "ansible.builtin.raw", "ansible.builtin.script"}
LEADS_TO_THE_SPECIFICATION = "# README.md says what each option is for, from meta/argument_specs.yml."
SEQUENCING = {"ansible.builtin.import_tasks", "ansible.builtin.include_tasks"}
TASK_KEYWORDS = {"name", "when", "loop", "loop_control", "vars", "tags"}

each_role = pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
each_task_file = pytest.mark.parametrize("file", TASK_FILES, ids=lambda path: f"{path.parts[-3]}-{path.stem}")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def files(folder: Path) -> list[Path]:
    """All files but those that Python leaves where Ansible has run a plugin."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def tasks_in(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """All tasks of a list, those inside blocks included."""
    for item in items:
        for section in ("block", "rescue", "always"):
            yield from tasks_in(item.get(section, []))
        yield item


@each_role
def test_role_has_the_anatomy(role: Path) -> None:
    for part in ("defaults/main.yml", "meta/main.yml", "meta/argument_specs.yml", "tasks/main.yml", "README.md"):
        assert (role / part).is_file(), f"{role.name} lacks {part}"


@each_role
def test_specification_names_exactly_the_defaults(role: Path) -> None:
    specified = load(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    assert set(specified) == set(load(role / "defaults/main.yml"))


def test_readmes_have_the_table_of_the_specification() -> None:
    checked = subprocess.run(
        [sys.executable, ANSIBLE / "option_tables.py", "--check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


@each_role
def test_an_option_is_described_only_in_the_specification(role: Path) -> None:
    """Comments at the margin of the defaults would be a second description; the one line that leads to it is enough."""
    lines = (role / "defaults/main.yml").read_text().splitlines()
    assert [line for line in lines if line.startswith("#")] == [LEADS_TO_THE_SPECIFICATION]


@each_role
def test_a_required_option_is_empty_until_it_is_set_and_the_role_itself_refuses_that(role: Path) -> None:
    """Its own message says what is needed and what to do; Ansible's would only name the option."""
    options = load(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    defaults, variables = load(role / "defaults/main.yml"), load(role / "vars/main.yml") or {}
    asserts = [
        str(task["ansible.builtin.assert"])
        for file in role.glob("tasks/*.yml")
        for task in tasks_in(load(file))
        if "ansible.builtin.assert" in task
    ]
    asserts += [str(variables.get(name)) for name in re.findall(rf"__{role.name}_\w+", " ".join(asserts))]
    for name in (name for name, option in options.items() if option.get("required")):
        assert not defaults[name]
        assert re.search(rf"\b{name}\b", " ".join(asserts)), f"{name} is required, and no assert refuses its absence"


@each_role
def test_what_an_empty_default_means_is_said(role: Path) -> None:
    options = load(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    defaults = load(role / "defaults/main.yml")
    silent = [
        name
        for name, option in options.items()
        if defaults[name] == "" and not option.get("required") and "mpty" not in option["description"]
    ]
    assert not silent


@each_role
def test_public_variables_carry_the_roles_name(role: Path) -> None:
    wrong = [name for name in load(role / "defaults/main.yml") if not name.startswith(f"{role.name}_")]
    assert not wrong


@each_role
def test_private_variables_carry_underscores_and_the_roles_name(role: Path) -> None:
    names = list(load(role / "vars/main.yml") or {})
    for file in sorted(role.glob("tasks/*.yml")):
        for task in tasks_in(load(file)):
            names += list(task.get("vars", {}))
            names += [task["register"]] if "register" in task else []
    assert not [name for name in names if not name.startswith(f"__{role.name}_")]


@each_role
def test_no_role_reads_the_variables_of_another(role: Path) -> None:
    others = [other.name for other in ROLES if other.name != role.name]
    found = []
    for file in sorted(path for path in role.rglob("*") if path.suffix in {".yml", ".j2"}):
        for other in others:
            found += re.findall(rf"(?<![\w.]){other}_\w+|\b__{other}_\w+", file.read_text())
    assert not found


@each_role
def test_no_default_is_left_unused(role: Path) -> None:
    text = "".join(p.read_text() for d in ("tasks", "templates", "vars", "handlers") for p in (role / d).glob("*"))
    text += (role / "defaults/main.yml").read_text()
    unused = [name for name in load(role / "defaults/main.yml") if len(re.findall(rf"\b{name}\b", text)) < 2]
    assert not unused


@each_role
def test_roles_do_not_know_what_site_they_run_on(role: Path) -> None:
    for file in files(role):
        assert not re.search(r"\blab\b", file.read_text(), re.IGNORECASE), f"{file} speaks of one site"


@each_role
def test_main_only_sequences(role: Path) -> None:
    for task in load(role / "tasks/main.yml"):
        assert set(task) - TASK_KEYWORDS <= SEQUENCING, f"{task['name']}: main.yml only sequences other files"


@each_task_file
def test_commands_are_honest_about_change(file: Path) -> None:
    for task in tasks_in(load(file)):
        for module in COMMANDS & set(task):
            arguments = task[module] if isinstance(task[module], dict) else {}
            honest = "changed_when" in task or {"creates", "removes"} & set(arguments)
            assert honest, f"{file}: {task['name']!r} needs creates, removes or changed_when"


@each_task_file
def test_kubectl_is_called_by_the_roles_one_variable(file: Path) -> None:
    """It holds program and kubeconfig: __<role>_kubectl in vars/main.yml."""
    assert not re.search(r"^\s*(argv: \[|- |argv: *\n\s*- |cmd: |.*command: )kubectl\b", file.read_text(), re.MULTILINE)


@each_task_file
def test_packages_come_by_the_module_that_rehearses(file: Path) -> None:
    """apt would take other packages away without a word, and fails in check mode on a bare host."""
    for task in tasks_in(load(file)):
        apt = task.get("ansible.builtin.apt", {})
        assert set(apt) <= {"update_cache", "cache_valid_time"}, f"{file}: {task['name']!r} needs pinned_packages"


@each_task_file
def test_asserts_say_found_needed_and_what_to_do(file: Path) -> None:
    for task in tasks_in(load(file)):
        if "ansible.builtin.assert" in task:
            message = task["ansible.builtin.assert"]["fail_msg"]
            assert re.search("Found.*[Nn]eeded|render_rows", message, re.DOTALL), f"{file}: {task['name']!r}"


@pytest.mark.parametrize("file", sorted(ANSIBLE.glob("roles/*/handlers/*.yml")), ids=lambda path: path.parts[-3])
def test_a_handler_has_one_effect(file: Path) -> None:
    for handler in load(file):
        modules = [key for key in handler if "." in key]
        assert len(modules) == 1


def test_files_stay_small() -> None:
    long = [path for path in files(ANSIBLE) if len(path.read_text().splitlines()) > 150]
    assert not long


@each_task_file
def test_tasks_leave_the_header_of_templates_to_templates(file: Path) -> None:
    """Only the template module knows `ansible_managed`; elsewhere it is undefined."""
    assert "ansible_managed" not in file.read_text()
