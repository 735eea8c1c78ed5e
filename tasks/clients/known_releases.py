"""Whether the registry knows what the release log says is live, asked before anything is trained."""

from tasks.clients.registry import open_registry
from tasks.clients.release_log import check_log, read_log
from tasks.clients.sqlite_lock import database_path
from tasks.contracts.errors import PipelineError
from tasks.contracts.params import Releases, Tracking


def release_fault(tracking: Tracking, releases: Releases) -> str:
    """What is wrong; empty where both agree, where nothing was released yet, and where the registry begins anew."""
    try:
        if not read_log(releases.log):
            return ""
        database = database_path(tracking.uri)
        if database is not None and not database.is_file():
            # Asking would make it.
            check_log(releases, f"{tracking.experiment} at {tracking.uri}", None, [])
            return ""
        with open_registry(tracking) as registry:
            check_log(releases, registry.where, registry.champion(), registry.changes())
    except PipelineError as error:
        return str(error)
    return ""
