"""Every way of writing where the database is, and no way of leaking its password."""

from __future__ import annotations

import importlib.util
import logging
import pickle
from urllib.parse import quote

import pytest
from pymongo.uri_parser import parse_uri

from hpo.exceptions import InvalidUrl
from hpo.store.mongo.url import MongoAddress, parse_mongo_url, read_url, redact

# --- what is understood -----------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://node7",
        "mongodb://node7:27018/digits",
        "mongodb://ann:secret@node7/digits?authSource=admin&replicaSet=rs0&w=majority",
        "mongodb://a:1,b:2,c/digits?replicaSet=rs0&readPreference=secondary",
        "mongodb://[::1]:27018/digits",
        "mongodb://node7/digits?appName=ann@lab&tls=true",
        "mongodb://%2Ftmp%2Fmongodb-27017.sock/digits",
        "mongodb+srv://ann:secret@cluster0.example.net/digits?retryWrites=true",
    ],
)
def test_a_mongodb_url_is_passed_on_untouched(url):
    assert parse_mongo_url(url).url == url


@pytest.mark.parametrize(
    ("url", "database"),
    [
        ("mongodb://node7", "hpo"),
        ("mongodb://node7/", "hpo"),
        ("mongodb://node7/?w=1", "hpo"),
        ("mongodb://node7?w=1", "hpo"),
        ("mongodb://node7/digits", "digits"),
        ("mongodb://node7/digits?w=1", "digits"),
        ("mongodb://node7/z%C3%BCrich", "zürich"),
        ("mongodb+srv://cluster0.example.net", "hpo"),
        ("mongo://node7:27017/digits/jobs", "digits"),
        ("mongo://node7:27017/digits", "digits"),
        ("node7/digits", "digits"),
        ("node7:27017", "hpo"),
        ("node7:27017/digits/jobs", "digits"),
    ],
)
def test_the_database_is_the_path_and_hpo_without_one(url, database):
    assert parse_mongo_url(url).database == database


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("mongodb://ann:pw@node7/x", ("node7:27017",)),
        ("mongodb://a:1,b:2,c/x", ("a:1", "b:2", "c:27017")),
        ("mongodb://[::1]:5/x", ("[::1]:5",)),
        ("mongodb://%2Ftmp%2Fmongodb-27017.sock/x", ("/tmp/mongodb-27017.sock",)),
        ("mongodb+srv://ann:pw@cluster0.example.net/x", ("cluster0.example.net",)),
    ],
)
def test_hosts_are_named_as_a_person_knows_them(url, hosts):
    assert parse_mongo_url(url).hosts == hosts


def test_hyperopts_form_names_a_collection():
    address = parse_mongo_url("mongo://node7:1234/digits/trials")

    assert (address.database, address.collection) == ("digits", "trials")
    assert parse_uri(address.url)["nodelist"] == [("node7", 1234)]


def test_hyperopts_form_keeps_login_and_options():
    address = parse_mongo_url("mongo://ann:p%40ss@node7:1234/digits/jobs?authSource=lab")

    understood = parse_uri(address.url)
    assert (understood["username"], understood["password"]) == ("ann", "p@ss")
    assert understood["options"]["authSource"] == "lab"


@pytest.mark.parametrize(("user", "source"), [("hyperopt", "admin"), ("ann", "digits")])
def test_hyperopts_form_looks_for_the_user_where_hyperopt_does(user, source):
    address = parse_mongo_url(f"mongo://{user}:pw@node7:1234/digits/jobs")

    understood = parse_uri(address.url)
    # MongoDB looks in `authSource`, and without it in the database of the path.
    assert understood["options"].get("authSource", understood["database"]) == source


@pytest.mark.parametrize("password", ["a@b", "a:b", "a/b", "a?b", "a%b", "a b", "ü#[]&=+,"])
def test_an_encoded_password_arrives_as_it_was_meant(password):
    for form in ("mongodb://ann:{}@node7/digits", "mongo://ann:{}@node7:27017/digits/jobs"):
        address = parse_mongo_url(form.format(quote(password, safe="")))

        assert parse_uri(address.url)["password"] == password
        assert (address.hosts, address.database) == (("node7:27017",), "digits")


def test_blanks_and_a_line_break_around_the_url_do_no_harm():
    assert parse_mongo_url(" mongodb://node7/digits\n").database == "digits"


def test_an_address_survives_pickling():
    address = parse_mongo_url("mongodb://ann:secret@node7/digits")

    assert pickle.loads(pickle.dumps(address)) == address


# --- what is refused, and how -------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("mongodb://", "no host is named"),
        ("mongodb:///digits", "no host is named"),
        ("mongodb://ann:pw@/digits", "no host is named"),
        ("mongodb://:pw@node7/digits", "without a user name"),
        ("mongodb://node7,/digits", "a comma too many"),
        ("mongodb://node7:http/digits", "port after 'node7'"),
        ("mongodb://node7:0/digits", "from 1 to 65535"),
        ("mongodb://node7:65536/digits", "from 1 to 65535"),
        ("mongodb://node7:/digits", "from 1 to 65535"),
        ("mongodb://node7:-5/digits", "from 1 to 65535"),
        ("mongodb://[::1/digits", "IPv6"),
        ("mongodb:node7/digits", "two slashes"),
        ("mongdb://node7/digits", "did you mean 'mongodb'"),
        ("redis://node7/0", "unknown scheme 'redis'"),
        ("http://node7:27017/digits", "a web page"),
        ("https://cloud.mongodb.com/v2/x", "a web page"),
        ("mongo+ssh://node7/digits/jobs", "ssh -NL"),
        ("digits", "names no host and database"),
        ("/scratch/url", "file:PATH"),
        ("./url", "file:PATH"),
        ("mongodb://node7/digits/jobs", "one database, not 'digits/jobs'"),
        ("mongodb://node7/dig.its", "'.' is not allowed"),
        ("mongodb://node7/dig%20its", "' ' is not allowed"),
        ("mongodb://node7/" + "d" * 64, "more than 63 bytes"),
        ("mongodb://node7/admin", "?authSource=admin"),
        ("mongodb://node7/local", "MongoDB's own records"),
        ("mongo://node7:1/digits/system.users", "a collection cannot be named"),
        ("mongo://node7:1/digits/jobs/more", "a collection cannot be named"),
        ("mongo://ann@node7:1/digits/jobs", "user without a password"),
        ("mongodb+srv://cluster0.example.net:27017/x", "takes no port"),
        ("mongodb+srv://a.example.net,b.example.net/x", "takes one host"),
        ("mongodb://node7/x?maxPoolSiz=3", "did you mean 'maxPoolSize'"),
        ("mongodb://node7/x?gama=3", "unknown option 'gama'"),
        ("mongodb://node7/x?maxPoolSize=many", "maxpoolsize must be an integer"),
        ("mongodb://node7/x?maxPoolSize", "name=value"),
        ("mongodb://node7/x?tlsInsecure=true&tlsAllowInvalidCertificates=true", "tlsInsecure"),
        ("mongodb://a,b/x?directConnection=true", "directConnection"),
        ("mongodb://node7/x?tlsCAFile=/no/such/file", "/no/such/file"),
        ("mongodb://node7/a\nb", "one line"),
    ],
)
def test_what_cannot_be_an_address_is_refused_with_the_reason(text, says):
    with pytest.raises(InvalidUrl) as caught:
        parse_mongo_url(text)

    assert says in str(caught.value)


@pytest.mark.parametrize("not_text", [None, 27017, b"mongodb://node7", ["mongodb://node7"]])
def test_what_is_no_text_is_refused_by_its_type(not_text):
    with pytest.raises(InvalidUrl, match=type(not_text).__name__):
        parse_mongo_url(not_text)


def test_a_srv_url_without_dnspython_says_what_to_install(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "dns" else find_spec(name)
    )

    with pytest.raises(InvalidUrl, match=r'pip install "pymongo\[srv\]"'):
        parse_mongo_url("mongodb+srv://cluster0.example.net/digits")


# --- secrets ------------------------------------------------------------------------

# Each password, pasted unescaped, moves the borders between the parts of the URL.
TREACHEROUS_PASSWORDS = [
    "hun@ter2secret",
    "hun:ter2secret",
    "hun/ter2secret",
    "hun?ter2secret",
    "hun%ter2secret",
    "hunter2secret/",
    "hunter2secret@",
    "/hunter2secret",
    "@hunter2secret",
    "?hunter2secret=w",
    "?w=hunter2secret",
    "7?w=hunter2secret",
    "1234/hunter2secret",
    "hun@ter2secret/hun?ter2secret",
    "hun#ter2[secret",
    "hunter2secret",
]
MALFORMED_AROUND_PASSWORD = [
    "mongodb://ann:{}@node7:port/digits",
    "mongodb://ann:{}@node7/dig.its",
    "mongodb://ann:{}@node7/digits/jobs",
    "mongodb://ann:{}@node7/digits?maxPoolSiz=1",
    "mongodb://ann:{}@node7/digits?w=a@b&maxPoolSize=x",
    "mongodb://ann:{}@",
    "mongodb://ann:{}@,node7/digits",
    "mongodb://ann:{}@[::1/digits",
    "mongdb://ann:{}@node7/digits",
    "http://ann:{}@node7/digits",
    "mongodb:ann:{}@node7/digits",
    "mongo+ssh://ann:{}@node7/digits",
    "mongodb+srv://ann:{}@node7.example.net:1/digits",
    "mongodb+srv://ann:{}@a.example.net,b.example.net/digits",
    "mongo://ann:{}@node7:port/digits/jobs",
    "mongo://ann:{}@node7:1/digits/jobs/more",
    "ann:{}@node7:port/digits",
    "ann:{}@node7:1/digits/jobs/more",
    "mongodb://ann:{}@node7/digits\nmongodb://node8",
]


@pytest.mark.parametrize("form", MALFORMED_AROUND_PASSWORD)
@pytest.mark.parametrize("password", TREACHEROUS_PASSWORDS)
def test_no_message_about_a_malformed_url_holds_a_piece_of_the_password(form, password, caplog):
    caplog.set_level(logging.DEBUG)

    with pytest.raises(InvalidUrl) as caught:
        parse_mongo_url(form.format(password))

    said = f"{caught.value} {caught.value!r} {caught.value.__cause__} {caplog.text}"
    assert "hunter2secret" not in said and "ter2secret" not in said, said


@pytest.mark.parametrize("password", TREACHEROUS_PASSWORDS)
@pytest.mark.parametrize("form", ["mongodb://ann:{}@node7/digits", "mongo://ann:{}@node7/digits"])
def test_an_unescaped_password_is_either_understood_or_refused_with_advice(form, password):
    try:
        address = parse_mongo_url(form.format(password))
    except InvalidUrl as error:
        assert "%40" in str(error), error
        assert "ter2secret" not in str(error)
    else:
        assert parse_uri(address.url)["password"] == password
        assert "ter2secret" not in f"{address!r} {address}"


def test_a_password_that_was_left_without_its_host_is_not_taken_for_a_port():
    with pytest.raises(InvalidUrl) as caught:
        parse_mongo_url("mongodb://ann:hunter2secret")

    assert "hunter2secret" not in str(caught.value)
    assert "@host must follow" in str(caught.value)


@pytest.mark.parametrize(
    "option", ["tlsCertificateKeyFilePassword", "authMechanismProperties", "proxyPassword"]
)
def test_a_secret_option_is_not_quoted_either(option):
    with pytest.raises(InvalidUrl) as caught:
        parse_mongo_url(f"mongodb://node7/digits?{option}=hunter2secret&maxPoolSize=x")

    assert "hunter2secret" not in str(caught.value)


def test_an_address_shows_where_but_not_who():
    address = parse_mongo_url("mongodb://ann:hunter2secret@node7:27018/digits?authSource=admin")

    assert str(address) == "database 'digits' on node7:27018"
    assert repr(address) == (
        "MongoAddress(database='digits', collection='jobs', hosts=('node7:27018',))"
    )


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("at mongodb://ann:pw@node7:1/x", "at mongodb://***@node7:1/x"),
        ("at mongodb://ann:p/w@node7/x", "at mongodb://***@node7/x"),
        ("at mongodb://ann:p@w@node7/x", "at mongodb://***@node7/x"),
        ("at mongodb://ann:p w@node7/x", "at mongodb://***@node7/x"),
        ("at mongodb+srv://ann:pw@node7/x", "at mongodb+srv://***@node7/x"),
        ("at ann:pw@node7:1/x", "at ***@node7:1/x"),
        ("at mongodb://ann:secret", "at mongodb://ann:***"),
        ("mongodb://node7:27017/x", "mongodb://node7:27017/x"),
        ("mongodb://a:1,b:2/x?w=1", "mongodb://a:1,b:2/x?w=1"),
        ("mongodb://[::1]:5/x", "mongodb://[::1]:5/x"),
        ("no address: here", "no address: here"),
        (
            "?proxyPassword=pw&w=1&tlsCertificateKeyFilePassword=pw",
            "?proxypassword=***&w=1&tlscertificatekeyfilepassword=***",
        ),
    ],
)
def test_redact_hides_credentials_and_leaves_the_rest(text, redacted):
    assert redact(text).lower() == redacted.lower()


# --- where the address comes from ---------------------------------------------------


def test_an_argument_comes_before_the_environment():
    environ = {"HPO_MONGO_URL": "mongodb://from-environment/x"}

    assert read_url("mongodb://given/x", environ) == "mongodb://given/x"
    assert read_url(None, environ) == "mongodb://from-environment/x"


def test_the_address_may_be_in_a_file(tmp_path):
    file = tmp_path / "url"
    file.write_text("# written by hand\n\n  mongodb://ann:pw@node7/digits  \n")

    for address in (
        read_url(f"file:{file}"),
        read_url(None, {}, file=file),
        read_url(None, {"HPO_MONGO_URL": f"file://{file}"}),
    ):
        assert address == "mongodb://ann:pw@node7/digits"
    assert parse_mongo_url(f"file:{file}") == MongoAddress(
        "mongodb://ann:pw@node7/digits", "digits", "jobs", ("node7:27017",)
    )


def test_without_any_address_the_variable_is_named():
    for environ in ({}, {"HPO_MONGO_URL": " "}):
        with pytest.raises(InvalidUrl, match=r"set \$HPO_MONGO_URL"):
            read_url(None, environ)


def test_two_addresses_are_one_too_many(tmp_path):
    with pytest.raises(InvalidUrl, match="give one of them"):
        read_url("mongodb://node7", {}, file=tmp_path / "url")


def test_a_file_that_is_missing_empty_or_not_text_is_named(tmp_path):
    (tmp_path / "empty").write_text("\n# nothing\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "chained").write_text("file:/elsewhere")

    for name, says in {
        "missing": "there is no file",
        "empty": "holds no address",
        "binary": "not text",
        "chained": "names another file",
        ".": "directory",
    }.items():
        with pytest.raises(InvalidUrl, match=says):
            read_url(f"file:{tmp_path / name}")
