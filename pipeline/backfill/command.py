"""``foryou backfill``: which history to fetch, and the operator's key.

Owns: the command's flags, and reading the key. Leaves to others: fetching (``archived_days``,
``fetch_waiting``, ``viewer_repository``, ``author_profiles``, ``file_of_lines``).

The key comes from a file or from FORYOU_ARCHIVE_KEY. There is no flag for it, since every user of the machine could
read that. It is never stored or logged. ``foryou schedule`` gives it to ``backfill --gaps`` alone.
"""

import argparse
import logging
import stat
from collections.abc import Mapping
from pathlib import Path

from pipeline.backfill.viewer_repository import Repositories
from pipeline.errors import BackfillError
from pipeline.flag_values import whole
from pipeline.ranking import ranking_from
from pipeline.settings import ARCHIVE_KEY, Settings

log = logging.getLogger("foryou.backfill")

KEY_BYTES_MAX = 8192


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give the command its flags."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--days", type=whole(1, 99_999), metavar="N", help="history of the last N days, from the archive"
    )
    what.add_argument(
        "--gaps", action="store_true", help="what is missing since the first day, from the archive"
    )
    what.add_argument("--viewer", metavar="DID", help="one viewer's likes, from their own repository")
    what.add_argument(
        "--waiting", action="store_true", help="the same for viewers who came and whose likes the store lacks"
    )
    what.add_argument(
        "--profiles",
        action="store_true",
        help="what authors in lists say on their profiles, from the AppView; foryou schedule does it by itself",
    )
    what.add_argument(
        "--file", metavar="PATH", help="a file of Jetstream lines, plain, .gz or .zst; - is standard input"
    )
    archive = parser.add_argument_group("with --days and --gaps")
    archive.add_argument(
        "--archive", dest="setting_archive_url", metavar="URL", help="short for --archive-url, see below"
    )
    archive.add_argument("--key-file", metavar="FILE", help=f"file with the archive's key (or {ARCHIVE_KEY})")
    archive.add_argument("--estimate", action="store_true", help="say how much it is, and fetch nothing")


def run(
    settings: Settings,
    options: argparse.Namespace,
    repositories: Repositories,
    environment: Mapping[str, str],
) -> None:
    """Fetch the history that the flags name; ``repositories`` asks their hosts."""
    ranking = ranking_from(settings.ranking)
    if options.viewer is not None or options.waiting:
        from pipeline.backfill import fetch_waiting, viewer_repository

        if options.waiting:
            fetch_waiting.run_waiting(settings.data_dir, repositories, ranking)
        else:
            viewer_repository.run_viewer(settings.data_dir, options.viewer, repositories, ranking)
    elif options.profiles:
        from pipeline.backfill import author_profiles

        author_profiles.run(settings.data_dir, settings.appview_url)
    elif options.file is not None:
        from pipeline.backfill import file_of_lines

        file_of_lines.run(settings.data_dir, options.file)
    else:
        from pipeline.backfill import archived_days

        wanted = archived_days.Wanted(
            days=options.days or 0,
            url=settings.archive_url,
            key=read_key(options.key_file, environment),
            window_days=ranking.seed_window_days,
            threads=settings.batch_threads,
            estimate_only=options.estimate,
        )
        archived_days.run(settings.data_dir, wanted)


def read_key(file: str | None, environment: Mapping[str, str]) -> str | None:
    """Return the archive's key, None when there is none; BackfillError when the text can't be a key."""
    if file is None:
        origin, text = ARCHIVE_KEY, environment.get(ARCHIVE_KEY, "")
    else:
        origin = file
        try:
            if stat.S_IMODE(Path(file).stat().st_mode) & 0o077:
                log.warning("other users can read %s; run: chmod 600 %s", file, file)
            text = Path(file).read_bytes()[:KEY_BYTES_MAX].decode("utf-8", "replace")
        except OSError as error:
            raise BackfillError(f"can't read the key file {file}: {error.strerror}") from error
    key = text.strip()
    if file is not None and not key:
        raise BackfillError(f"the key file {file} is empty")
    # Other characters could end the request's header.
    if not key.isascii() or not key.isprintable() or " " in key:
        raise BackfillError(f"{origin} has no valid key: a key is one word of printable ASCII")
    return key or None
