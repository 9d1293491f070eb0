"""Signing: which keys are trusted, and where they come from."""

from __future__ import annotations

import hashlib
import hmac
import multiprocessing
import os
import pickle
import stat

import pytest

from hpo.exceptions import BadSignature, InvalidKey
from hpo.signing import Key, KeyRing, add_key, key_file, load_keys, make_key_file

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away, as only root may")

STRANGER = 12345


@pytest.fixture
def home(tmp_path):
    """An environment whose home directory is new."""
    return {"HOME": str(tmp_path)}


def write_key(path, text="k" * 32, mode=0o600):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_signature_is_an_hmac_of_the_purpose_and_the_content():
    key = Key(b"k" * 32)

    line, _, content = KeyRing((key,), "here").seal(b"a\nb", "tea").partition(b"\n")

    message = b"hpo-signed 1 " + key.id.encode() + b" tea\na\nb"
    expected = hmac.new(b"k" * 32, message, hashlib.sha256).hexdigest()
    assert line.decode() == f"hpo-signed 1 {key.id} {expected}"
    assert content == b"a\nb"


def test_what_was_sealed_can_be_opened_for_the_same_purpose_only():
    keys = KeyRing((Key(b"k" * 32),), "here")
    sealed = keys.seal(b"content", "tea")

    assert keys.open(sealed, "tea") == b"content"
    with pytest.raises(BadSignature, match="altered"):
        keys.open(sealed, "coffee")


def test_a_key_never_shows_in_messages():
    keys = KeyRing((Key(b"secret" * 8),), "here")

    assert "secret" not in repr(keys)


# --- where keys come from -------------------------------------------------------------


def test_the_variable_comes_before_any_file(home, tmp_path):
    write_key(tmp_path / ".config/hpo/key", "f" * 32)

    keys = load_keys({**home, "HPO_KEY": f" {'v' * 40}\n"})

    assert [key.secret for key in keys.keys] == [b"v" * 40]
    assert keys.origin == "$HPO_KEY"


def test_the_named_file_comes_before_that_of_the_home_directory(home, tmp_path):
    write_key(tmp_path / ".config/hpo/key", "f" * 32)
    named = write_key(tmp_path / "named", "n" * 32)

    keys = load_keys({**home, "HPO_KEY_FILE": str(named)})

    assert [key.secret for key in keys.keys] == [b"n" * 32]


@pytest.mark.parametrize(
    ("configured", "path"),
    [("", ".config/hpo/key"), ("relative", ".config/hpo/key"), ("{}/xdg", "xdg/hpo/key")],
)
def test_the_key_file_is_among_the_users_configuration(home, tmp_path, configured, path):
    environ = {**home, "XDG_CONFIG_HOME": configured.format(tmp_path)}

    assert key_file(environ) == tmp_path / path


def test_the_first_driver_makes_a_key_that_only_its_user_can_read(home, tmp_path):
    made = load_keys(home, make=True)

    path = tmp_path / ".config/hpo/key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(path.read_text().strip()) == 64
    assert load_keys(home) == load_keys(home, make=True) == made
    assert [entry.name for entry in path.parent.iterdir()] == ["key"]


def _make(path, answers):
    answers.put(make_key_file(path).ids)


def test_of_drivers_that_start_together_one_makes_the_key_of_all(tmp_path):
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    makers = [context.Process(target=_make, args=(tmp_path / "key", answers)) for _ in range(8)]
    for maker in makers:
        maker.start()

    ids = {tuple(answers.get(timeout=30)) for _ in makers}

    for maker in makers:
        maker.join()
    assert len(ids) == 1
    assert os.listdir(tmp_path) == ["key"]


def test_a_worker_makes_no_key_and_says_how_to_get_one(home, tmp_path):
    with pytest.raises(InvalidKey, match=r"no signing key here.*copy it here.*\$HPO_KEY"):
        load_keys(home)
    assert not list(tmp_path.iterdir())


def test_a_misspelt_file_name_makes_no_key(home, tmp_path):
    environ = {**home, "HPO_KEY_FILE": str(tmp_path / "kye")}

    with pytest.raises(InvalidKey, match=r"kye.*does not exist; correct the path"):
        load_keys(environ, make=True)
    assert not list(tmp_path.iterdir())


def test_where_no_key_can_be_written_the_variable_is_suggested(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(InvalidKey, match=r"no signing key can be written.*set \$HPO_KEY"):
        make_key_file(tmp_path / "file" / "key")


# --- rotation ---------------------------------------------------------------------------------


def test_of_several_keys_the_first_signs_and_all_are_accepted(tmp_path, home):
    path = write_key(tmp_path / ".config/hpo/key", "o" * 32)
    old = load_keys(home)
    path.write_text(f"# since May\n{'n' * 32}  # new\n\n{'o' * 32}\n")

    both = load_keys(home)

    assert both.open(old.seal(b"x", "tea"), "tea") == b"x"
    assert both.ids == [Key(b"n" * 32).id, *old.ids]
    with pytest.raises(BadSignature, match=f"another key .{both.ids[0]}. than {old.ids[0]} from"):
        old.open(both.seal(b"x", "tea"), "tea")


def test_adding_a_key_keeps_the_old_ones(home, tmp_path):
    path = tmp_path / ".config/hpo/key"
    first = make_key_file(path)

    both = add_key(path)

    assert both.ids[1:] == first.ids and both.ids[0] not in first.ids
    assert load_keys(home) == both
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["key"]


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["k" * 31, f"{'k' * 32} short", "correct horse battery staple"])
def test_a_short_key_is_refused_without_being_shown(home, text):
    with pytest.raises(InvalidKey, match=r"characters; a key has at least 32") as raised:
        load_keys({**home, "HPO_KEY": text})
    assert text not in str(raised.value)


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing yet\n"])
def test_a_file_without_a_key_is_refused(home, tmp_path, text):
    write_key(tmp_path / ".config/hpo/key", text)

    with pytest.raises(InvalidKey, match="holds no key"):
        load_keys(home, make=True)


def test_a_file_that_is_not_text_is_refused(home, tmp_path):
    write_key(tmp_path / ".config/hpo/key").write_bytes(b"\xff\xfe" * 32)

    with pytest.raises(InvalidKey, match="cannot be read"):
        load_keys(home)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_may_read_or_write_is_refused(home, tmp_path, mode):
    write_key(tmp_path / ".config/hpo/key", mode=mode)

    with pytest.raises(InvalidKey, match=rf"mode {mode:04o}.*chmod 600"):
        load_keys(home)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_refused_and_does_not_block(home, tmp_path, make):
    (tmp_path / ".config/hpo").mkdir(parents=True)
    make(tmp_path / ".config/hpo/key")

    with pytest.raises(InvalidKey, match=r"is not a file|Is a directory"):
        load_keys(home)


def test_a_link_that_leads_to_itself_is_refused(home, tmp_path):
    path = tmp_path / ".config/hpo/key"
    path.parent.mkdir(parents=True)
    path.symlink_to(path)

    with pytest.raises(InvalidKey, match="cannot be read"):
        load_keys(home)


@needs_root
def test_a_file_of_another_user_is_refused(home, tmp_path):
    os.chown(write_key(tmp_path / ".config/hpo/key"), STRANGER, STRANGER)

    with pytest.raises(InvalidKey, match=f"belongs to another user .uid {STRANGER}."):
        load_keys(home)


@needs_root
def test_a_link_into_a_directory_of_another_user_is_refused(home, tmp_path):
    theirs = tmp_path / "theirs"
    write_key(theirs / "key")
    os.chown(theirs, STRANGER, STRANGER)
    (tmp_path / ".config/hpo").mkdir(parents=True)
    (tmp_path / ".config/hpo/key").symlink_to(theirs / "key")

    with pytest.raises(InvalidKey, match=f"directory of another user .uid {STRANGER}."):
        load_keys(home)


def test_a_link_within_ones_own_directories_is_followed(home, tmp_path):
    write_key(tmp_path / "dotfiles/key", "d" * 32)
    (tmp_path / ".config/hpo").mkdir(parents=True)
    (tmp_path / ".config/hpo/key").symlink_to(tmp_path / "dotfiles/key")

    assert [key.secret for key in load_keys(home).keys] == [b"d" * 32]


@pytest.mark.parametrize(
    "error", [InvalidKey("no key"), BadSignature("foreign", True)], ids=["key", "signature"]
)
def test_the_errors_survive_the_way_to_another_process(error):
    copy = pickle.loads(pickle.dumps(error))

    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
