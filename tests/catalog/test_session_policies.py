"""The policy of temporary credentials allows the files below a prefix, and nothing else, whatever the prefix is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.catalog.session_policies import MAX_CHARACTERS, Access, session_policy
from chalicelib.errors import Unprocessable
from tests.support.iam import allows, check_grammar

BUCKET = "arn:aws:s3:::files"
USER = "01a2283e-7160-7fe9-b6f8-0cd24a466f75/"
READING = ("s3:GetObject",)
WRITING = ("s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
NEVER = (
    "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObjectVersion", "s3:PutObjectAcl", "s3:PutBucketPolicy",
    "s3:ListBucketVersions", "s3:ListBucketMultipartUploads", "s3:PutObjectTagging",
)  # fmt: skip


def policy(prefix: str = USER, reads: bool = True, writes: bool = True, partition: str = "aws") -> str:
    text = session_policy(Access("files", prefix, reads, writes, partition))
    check_grammar(text)
    return text


def test_objects_below_the_prefix_are_read_and_written_and_no_others() -> None:
    text = policy()
    for action in READING + WRITING:
        assert allows(text, action, f"{BUCKET}/{USER}a/b.txt")
        for elsewhere in ("", "a", USER[:-1], USER[:-1] + "x/a", f"x/{USER}a"):
            assert not allows(text, action, f"{BUCKET}/{elsewhere}")
        assert not allows(text, action, f"arn:aws:s3:::other/{USER}a")
    for action in NEVER:
        assert not allows(text, action, f"{BUCKET}/{USER}a")
        assert not allows(text, action, BUCKET)


def test_only_what_is_below_the_prefix_is_listed() -> None:
    text = policy()
    assert allows(text, "s3:ListBucket", BUCKET, prefix=USER)
    assert allows(text, "s3:ListBucket", BUCKET, prefix=f"{USER}deeper/")
    assert not allows(text, "s3:ListBucket", BUCKET)
    for prefix in ("", USER[:-1], "other/"):
        assert not allows(text, "s3:ListBucket", BUCKET, prefix=prefix)
    assert not allows(text, "s3:ListBucket", "arn:aws:s3:::other", prefix=USER)


def test_a_reader_does_not_write_and_a_writer_does_not_read() -> None:
    reader, writer = policy(writes=False), policy(reads=False)
    key = f"{BUCKET}/{USER}a"
    assert [allows(reader, action, key) for action in READING + WRITING] == [True, False, False, False]
    assert [allows(writer, action, key) for action in READING + WRITING] == [False, True, True, True]
    assert not allows(writer, "s3:ListBucket", BUCKET, prefix=USER)


@pytest.mark.parametrize(
    ("part", "outside"),
    [("*", "x"), ("?", "x"), ("${*}", "x"), ("$", "x"), ("${aws:username}", "ada"), ("a*/b", "ax/b"), ("??", "ab")],
)
def test_characters_of_patterns_mean_themselves(part: str, outside: str) -> None:
    text = policy(f"{USER}{part}/")
    assert allows(text, "s3:GetObject", f"{BUCKET}/{USER}{part}/a")
    assert allows(text, "s3:ListBucket", BUCKET, prefix=f"{USER}{part}/")
    assert not allows(text, "s3:GetObject", f"{BUCKET}/{USER}{outside}/a")
    assert not allows(text, "s3:ListBucket", BUCKET, prefix=f"{USER}{outside}/")


@given(
    st.text(st.sampled_from('*?$/{}"\\ a.'), min_size=1, max_size=8), st.text(st.sampled_from("*?$/{}a."), max_size=10)
)
def test_a_key_is_allowed_if_and_only_if_it_begins_with_the_prefix(prefix: str, key: str) -> None:
    text = policy(prefix)
    assert allows(text, "s3:PutObject", f"{BUCKET}/{key}") == key.startswith(prefix)
    assert allows(text, "s3:PutObject", f"{BUCKET}/{prefix}{key}")
    assert allows(text, "s3:ListBucket", BUCKET, prefix=key) == key.startswith(prefix)


def test_other_partitions_have_other_names() -> None:
    assert allows(policy(partition="aws-cn"), "s3:GetObject", f"arn:aws-cn:s3:::files/{USER}a")


@pytest.mark.parametrize("prefix", [f"{USER}ü/", f"{USER}日本/", f"{USER}\x7f", f"{USER}\n", f"{USER}{'*' * 400}"])
def test_what_no_policy_can_say_is_refused(prefix: str) -> None:
    with pytest.raises(Unprocessable):
        policy(prefix)


def test_there_is_no_policy_for_everybodys_files() -> None:
    with pytest.raises(ValueError, match="needs a prefix"):
        policy("")


def test_the_longest_plain_prefix_of_a_key_fits() -> None:
    assert len(policy(USER + "x" * (512 - len(USER)))) <= MAX_CHARACTERS
