"""What is stored, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pearlstreet.client.noun import Noun, Rows, at, given

if TYPE_CHECKING:
    from pearlstreet.client import results


class Storage(Noun):
    """Storage by project, retention, and files to delete or to pin."""

    def list(self, org: str | None = None) -> Rows[results.ProjectStorage]:
        """Return the stored bytes of each project of an organisation, and what still fits."""
        found: Rows[results.ProjectStorage] = self._get("/storage", org=org)["items"]
        return found

    def set_retention(self, org: str, days: int, *, project: str | None = None) -> results.Retention:
        """Set a retention rule: outputs made from now on are kept for `days` days; 0: for ever."""
        found: results.Retention = self._send(
            "PUT", "/storage/retention", given(org=org, days=days, project=project)
        )
        return found

    def delete_retention(self, org: str, *, project: str | None = None) -> results.Retention:
        """Remove a retention rule."""
        found: results.Retention = self._send("DELETE", "/storage/retention", org=org, project=project)
        return found

    def delete_upload(self, upload: str) -> results.Upload:
        """Delete an upload for good."""
        found: results.Upload = self._send("DELETE", at("uploads", upload))
        return found

    def delete_artefact(self, artefact: str) -> results.StoredArtefact:
        """Delete an output for good."""
        found: results.StoredArtefact = self._send("DELETE", at("artefacts", artefact))
        return found

    def pin(self, artefact: str, *, pinned: bool = True) -> results.StoredArtefact:
        """Pin an output, so that no retention rule deletes it, or unpin it."""
        found: results.StoredArtefact = self._send("PUT", at("artefacts", artefact), {"pinned": pinned})
        return found
