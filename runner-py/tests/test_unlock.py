"""Documents with a password, through the real process."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pdfmill_runner.failures import FailureClass
from pdfmill_runner.protocol import Error, Result
from pdfmill_runner.unlock import unlocked
from rig import REPOSITORY, Rig, request

if TYPE_CHECKING:
    from pathlib import Path

LOCKED = REPOSITORY / "contract" / "documents" / "locked.pdf"
PASSWORD = "correct horse"  # noqa: S105 - of a test document


def test_a_password_opens_a_document_and_leaves_no_copy(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Rig() as rig:
        rig.greet()
        result, _ = rig.convert(replace(request(LOCKED, out), passwords=("wrong", PASSWORD)))
        assert isinstance(result, Result)
        assert "A letter" in (out / "page-0001.md").read_text(encoding="utf-8")
        assert [file.name for file in out.iterdir() if file.suffix == ".pdf"] == []


def test_a_wrong_password_says_so_and_shows_itself_to_nobody(tmp_path: Path) -> None:
    with Rig() as rig:
        rig.greet()
        answer, _ = rig.convert(replace(request(LOCKED, tmp_path / "out"), passwords=("c4n4ry",)))
        assert isinstance(answer, Error)
        assert answer.failure is FailureClass.PDF_ENCRYPTED
        assert "wrong password" in answer.message
        assert "c4n4ry" not in answer.message + answer.traceback
        rig.hang_up()
        assert "c4n4ry" not in "".join(rig.ends()[1:])


def test_the_copy_is_for_this_user_only(tmp_path: Path) -> None:
    asked = replace(request(LOCKED, tmp_path / "out"), passwords=(PASSWORD,))
    assert PASSWORD not in repr(asked)
    with unlocked(asked) as given:
        assert given.passwords is None
        assert (tmp_path / "out" / ".unlocked.pdf").stat().st_mode & 0o777 == 0o600
    assert list((tmp_path / "out").iterdir()) == []
