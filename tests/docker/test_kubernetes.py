"""What a site applies to its cluster: manifests by the schema of Kubernetes, and what they say of each other."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fixtures.airflow_environment import probe, probe_alone
from tests.fixtures.needs import lacking
from tests.fixtures.repository import REPOSITORY

pytestmark = pytest.mark.slow

FOLDER = REPOSITORY / "docker" / "kubernetes"
WAYS = ["shared", "detached"]
# Of the chart's values.schema.json, as far as we use them.
CHART = {
    "airflowVersion", "allowPodLaunching", "apiSecretKeySecretName", "createUserJob", "dagProcessor", "data",
    "defaultAirflowRepository", "defaultAirflowTag", "env", "executor", "extraEnvFrom", "fernetKeySecretName", "gid",
    "jwtSecretName", "migrateDatabaseJob", "postgresql", "redis", "scheduler", "securityContexts", "statsd",
    "triggerer", "uid", "volumeMounts", "volumes",
}  # fmt: skip


def documents(*files: str) -> list[dict[str, Any]]:
    return [document for file in files for document in yaml.safe_load_all((FOLDER / file).read_text("utf-8"))]


def applied(way: str) -> list[dict[str, Any]]:
    """What the README has a site apply, for one way."""
    return documents(
        "namespace.yaml", "network.yaml", "secrets.example.yaml", f"{way}/volume.yaml", f"{way}/settings.yaml"
    )


def names(found: list[dict[str, Any]], kind: str) -> set[str]:
    return {document["metadata"]["name"] for document in found if document["kind"] == kind}


def settings_of(way: str) -> dict[str, str]:
    (found,) = documents(f"{way}/settings.yaml")
    data: dict[str, str] = found["data"]
    return data


def test_manifests_are_valid(tmp_path: Path) -> None:
    faults = probe("manifests", tmp_path)
    assert len(faults) == sum(len(applied(way)) for way in WAYS) - len(
        documents("namespace.yaml", "network.yaml", "secrets.example.yaml")
    )
    assert {name: fault for name, fault in faults.items() if fault} == {}


@pytest.mark.parametrize("way", WAYS)
def test_all_is_in_the_namespace_of_the_settings(way: str) -> None:
    found = applied(way)
    assert names(found, "Namespace") == {settings_of(way)["SIGHTLINE_NAMESPACE"]}
    inside = {document["metadata"].get("namespace") for document in found if document["kind"] != "Namespace"}
    assert inside == names(found, "Namespace")


@pytest.mark.parametrize("way", WAYS)
def test_settings_are_those_that_the_dags_read(way: str) -> None:
    sys.path.append(str(REPOSITORY / "dags"))
    from settings import read_settings  # noqa: PLC0415  # the folder is no package

    variables = settings_of(way)
    known = set(re.findall(r'(?:value|folder)\("(\w+)"', (REPOSITORY / "dags" / "settings.py").read_text("utf-8")))
    assert {name.removeprefix("SIGHTLINE_") for name in variables if not name.startswith("AIRFLOW__")} <= known
    site = read_settings(variables)
    assert (site.runner, site.detached) == ("kubernetes", way == "detached")
    secrets = {site.secret, *([site.git_secret] if site.detached else [])}
    assert secrets <= names(applied(way), "Secret")
    assert {site.progress if site.detached else site.claim} == names(applied(way), "PersistentVolumeClaim")
    if not site.detached:
        (mount,) = documents("shared/values.yaml")[0]["volumeMounts"]
        # Pods mount folders by their names, and workspaces and cache as one.
        assert {str(path.parent) for path in (site.cache.parent, site.shared)} == {mount["mountPath"]}


@pytest.mark.parametrize("way", WAYS)
def test_values_are_of_the_chart_and_name_what_is_applied(way: str) -> None:
    files = [file for file in ("values.yaml", f"{way}/values.yaml") if (FOLDER / file).is_file()]
    values = {name: value for one in documents(*files) for name, value in one.items()}
    assert set(values) <= CHART
    secrets = {document["metadata"]["name"]: document["stringData"] for document in documents("secrets.example.yaml")}
    for key, name in {
        "connection": values["data"]["metadataSecretName"],
        "fernet-key": values["fernetKeySecretName"],
        "api-secret-key": values["apiSecretKeySecretName"],
        "jwt-secret": values["jwtSecretName"],
    }.items():
        assert key in secrets[name]
    for source in yaml.safe_load(values["extraEnvFrom"]):
        ((kind, named),) = source.items()
        assert named["name"] in names(applied(way), {"configMapRef": "ConfigMap", "secretRef": "Secret"}[kind])
    assert (
        f"apache-airflow=={values['airflowVersion']}\n" in (REPOSITORY / "docker/airflow/requirements.in").read_text()
    )


def test_nothing_is_run_that_only_the_official_image_has() -> None:
    (values,) = documents("values.yaml")
    for component in ("scheduler", "dagProcessor"):
        assert values[component]["logGroomerSidecar"]["enabled"] is False
    # It runs a command of an auth manager that is not ours.
    assert values["createUserJob"]["enabled"] is False


def test_probes_of_the_chart_start_their_check_in_our_image(tmp_path: Path) -> None:
    recipe = (REPOSITORY / "docker" / "airflow" / "Dockerfile").read_text()
    (made,) = re.findall(r"(?m)^RUN (.* > /entrypoint .*)$", recipe)
    entrypoint = tmp_path / "entrypoint"
    subprocess.run(["sh", "-c", made.replace("/entrypoint", str(entrypoint))], check=True)
    assert entrypoint.stat().st_mode & 0o777 == 0o755
    # As the chart's `scheduler_liveness_check_command` has it.
    script = f"CONNECTION_CHECK_MAX_COUNT=0 exec {entrypoint} \\\n sh -c 'echo \"$@\"; exit 3' check --local 'a b'"
    probed = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert (probed.returncode, probed.stdout) == (3, "--local a b\n")


def test_first_login_is_made_on_a_new_volume(tmp_path: Path) -> None:
    (mount,) = documents("shared/values.yaml")[0]["volumeMounts"]
    name = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
    file = Path(settings_of("shared")[name]).relative_to(mount["mountPath"])
    (tmp_path / "volume").mkdir()
    assert probe_alone("logins", tmp_path, **{name: str(tmp_path / "volume" / file)}).keys() == {"admin"}


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The pod of each stage, where the disk is shared."""
    site = {name: value for name, value in settings_of("shared").items() if name.startswith("SIGHTLINE")}
    return probe("pods", tmp_path_factory.mktemp("pods"), **site)


@pytest.fixture(scope="module")
def mounts(pods: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What the pod of each stage mounts of the shared volume."""
    containers = {name: built["pod"]["spec"]["containers"][0] for name, built in pods.items()}
    return {
        name: [mount for mount in container["volumeMounts"] if mount["name"] == "sightline"]
        for name, container in containers.items()
    }


def test_pods_write_to_runs_and_cache_and_few_to_what_is_shared(mounts: dict[str, list[dict[str, Any]]]) -> None:
    for name, of_pod in mounts.items():
        written = {mount["subPath"] for mount in of_pod if not mount.get("readOnly")}
        shared = {"shared"} if name in {"doctor", "search", "tune", "train", "export", "publish", "save"} else set()
        assert written == {"data"} | shared, name
        assert {mount["subPath"] for mount in of_pod} == {"data", "shared"}, name


def test_pods_can_link_from_the_cache_into_a_workspace(mounts: dict[str, list[dict[str, Any]]], tmp_path: Path) -> None:
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode != 0:
        lacking("mounts of its own need user namespaces")
    script = ""
    for mount in mounts["train"]:
        folder, place = tmp_path / "volume" / mount["subPath"], f"{tmp_path}{mount['mountPath']}"
        script += f"mkdir -p {folder} {place}; mount --bind {folder} {place}\n"
    cache, workspaces = (f"{tmp_path}{settings_of('shared')[f'SIGHTLINE_{name}']}" for name in ("CACHE", "WORKSPACES"))
    script += f"mkdir -p {cache} {workspaces}; touch {cache}/data; ln {cache}/data {workspaces}/data"
    linked = subprocess.run([*namespace, "sh", "-ec", script], capture_output=True, text=True, check=False)
    assert linked.returncode == 0, linked.stderr


def test_volume_of_progress_is_given_to_the_user_of_the_stages_in_their_image(tmp_path: Path) -> None:
    claim, job = documents("detached/volume.yaml")
    pod = probe("pods", tmp_path, **settings_of("detached"))["train"]["pod"]["spec"]
    of_job, stages = job["spec"]["template"]["spec"], pod["containers"][0]
    (owner,) = of_job["containers"]
    (mount,) = owner["volumeMounts"]
    user = "{runAsUser}:{runAsGroup}".format(**pod["securityContext"])
    assert owner["command"] == ["chown", user, mount["mountPath"]]
    assert owner["image"] == stages["image"]
    (volume,) = of_job["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def test_network_policies_select_pods_of_stages_by_their_labels(pods: dict[str, Any]) -> None:
    selectors = [document["spec"]["podSelector"]["matchLabels"] for document in documents("network.yaml")]
    closed, opened = selectors
    labels = {name: built["pod"]["metadata"]["labels"] for name, built in pods.items()}
    assert all(closed.items() <= of_pod.items() for of_pod in labels.values())
    assert {name for name, of_pod in labels.items() if opened.items() <= of_pod.items()} >= {
        "ingest",
        "train",
        "publish",
    }
    assert not opened.items() <= labels["gate"].items()


def test_every_file_of_the_readme_is_there() -> None:
    text = (FOLDER / "README.md").read_text("utf-8").replace("$WAY/", "shared/")
    for name in re.findall(r"\b(?:\w+/)?\w+(?:\.example)?\.yaml\b", text):
        if name not in {"secrets.yaml", "params.yaml", "training_kubeflow.yaml"}:
            assert (FOLDER / name).is_file() or (FOLDER / "shared" / name).is_file(), name
