"""What is stored, and for how long."""

from __future__ import annotations

from pearlstreet.client.noun import Answer, Answers, Noun, at, given


class Storage(Noun):
    """Storage by project, retention, and files to delete or to pin."""

    def list(self, org: str | None = None) -> Answers:
        """What each project of an organisation stores, and what still fits."""
        found: Answers = self._get("/storage", org=org)["items"]
        return found

    def set_retention(self, org: str, days: int, *, project: str | None = None) -> Answer:
        """Keep outputs that are made from now on for so many days; 0: for ever."""
        found: Answer = self._send("PUT", "/storage/retention", given(org=org, days=days, project=project))
        return found

    def delete_retention(self, org: str, *, project: str | None = None) -> Answer:
        """Take a rule away."""
        found: Answer = self._send("DELETE", "/storage/retention", org=org, project=project)
        return found

    def delete_upload(self, upload: str) -> Answer:
        """Delete an upload for good."""
        found: Answer = self._send("DELETE", at("uploads", upload))
        return found

    def delete_artefact(self, artefact: str) -> Answer:
        """Delete an output for good."""
        found: Answer = self._send("DELETE", at("artefacts", artefact))
        return found

    def pin(self, artefact: str, *, pinned: bool = True) -> Answer:
        """Keep an output whatever the retention says, or no longer."""
        found: Answer = self._send("PUT", at("artefacts", artefact), {"pinned": pinned})
        return found
