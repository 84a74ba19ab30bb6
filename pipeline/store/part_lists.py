"""Parquet files that have no rows of their own and name others instead: a manifest in the file's metadata.

Owns: which files those are, one file of them all, and second names of files. Leaves to others: what the rows are
(``batch.inputs.neighbour_files``).
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

KEY = b"foryou"  # of the metadata: a JSON object, whose "parts" are paths from the file's folder
WHOLE = ".whole.parquet"  # one file of all rows, beside those that a file names; a backup passes over it


def files_of_rows(path: Path) -> list[Path]:
    """Return the file and those that it names."""
    return [path, *(path.parent / name for name in _said(path).get("parts", []))]


def files_below(path: Path) -> list[Path]:
    """Return the files of a folder, by name, or the one file that it is."""
    return sorted(path.iterdir()) if path.is_dir() else [path]


def one_file(source: Path, target: Path) -> None:
    """Give a file a second name; where it names others, give that name to one file of all rows and what else it says.

    That one file is made once, beside the files that are named. Raises FileNotFoundError when ``source`` is not there.
    """
    paths = files_of_rows(source)
    if len(paths) == 1:
        link(source, target)
        return
    whole = paths[1].with_name(WHOLE)
    if not whole.exists():
        draft = whole.with_name(f"{WHOLE}-{uuid.uuid4().hex}")
        _write_whole(paths, draft)
        os.replace(draft, whole)
    link(whole, target)


def link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where that can't be; FileNotFoundError when it is not there."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


def _write_whole(paths: list[Path], target: Path) -> None:
    metadata = pq.read_metadata(paths[0]).metadata or {}
    schema = pq.read_schema(paths[0]).remove_metadata()
    encoded = _with_dictionaries(paths[1], schema.names)
    with pq.ParquetWriter(target, schema, compression="zstd", use_dictionary=encoded) as writer:
        for group in _row_groups(paths):
            writer.write_table(group)
        said = _said(paths[0]) | {"parts": []}
        others = {key: value for key, value in metadata.items() if key not in (KEY, b"ARROW:schema")}
        writer.add_key_value_metadata({**others, KEY: json.dumps(said).encode()})


def _row_groups(paths: list[Path]) -> Iterator[pa.Table]:
    for path in paths:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group)


def _with_dictionaries(path: Path, names: list[str]) -> list[str]:
    """Return the columns that a file has dictionaries of: to make others is lost time."""
    metadata = pq.read_metadata(path)
    if not metadata.num_row_groups:
        return names
    group = metadata.row_group(0)
    return [name for number, name in enumerate(names) if group.column(number).has_dictionary_page]


def _said(path: Path) -> dict[str, list[str]]:
    text = (pq.read_metadata(path).metadata or {}).get(KEY)
    return dict(json.loads(text)) if text else {}
