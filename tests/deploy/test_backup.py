"""Copies by AWS Backup: of what, for how long, and that nobody deletes them."""

from tests.support.templates import Template


def test_there_are_no_copies_unless_somebody_wants_to_pay_for_them(native: Template) -> None:
    assert native["Parameters"]["BackupDays"]["Default"] == 0
    made = {name: item for name, item in native["Resources"].items() if name.startswith("Backup")}
    assert set(made) == {"BackupVault", "BackupPlan", "BackupSelection", "BackupRole"}
    assert {item["Condition"] for item in made.values()} == {"HasBackups"}


def test_files_and_the_own_database_are_copied_each_day_and_kept(native: Template) -> None:
    (rule,) = native["Resources"]["BackupPlan"]["Properties"]["BackupPlan"]["BackupPlanRule"]
    assert rule["Lifecycle"] == {"DeleteAfterDays": {"Ref": "BackupDays"}}
    assert rule["ScheduleExpression"].startswith("cron(")
    files, database = native["Resources"]["BackupSelection"]["Properties"]["BackupSelection"]["Resources"]
    assert files == {"Fn::GetAtt": ["FilesBucket", "Arn"]}
    assert database["Fn::If"][0] == "OwnDatabase"
    told = native["Resources"]["FilesBucket"]["Properties"]["NotificationConfiguration"]["EventBridgeConfiguration"]
    assert told == {"Fn::If": ["HasBackups", {"EventBridgeEnabled": True}, {"Ref": "AWS::NoValue"}]}


def test_the_copies_outlive_the_stack_and_nobody_deletes_them(native: Template) -> None:
    vault = native["Resources"]["BackupVault"]
    assert (vault["DeletionPolicy"], vault["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    (denied,) = vault["Properties"]["AccessPolicy"]["Statement"]
    assert (denied["Effect"], denied["Principal"]) == ("Deny", "*")
    assert "backup:DeleteRecoveryPoint" in denied["Action"]


def test_the_vault_of_an_earlier_stack_of_the_same_name_is_in_nobodys_way(native: Template) -> None:
    given, wanted, made = native["Resources"]["BackupVault"]["Properties"]["BackupVaultName"]["Fn::If"]
    assert (given, wanted) == ("HasBackupVaultName", {"Ref": "BackupVaultName"})
    text, parts = made["Fn::Sub"]
    assert text == "${AWS::StackName}-backups-${Id}"
    # arn:aws:cloudformation:eu-central-1:123456789012:stack/landfall-prod/1f3a5c70-0b1d-11f0-9c1e-0a1b2c3d4e5f
    assert parts["Id"] == {
        "Fn::Select": [0, {"Fn::Split": ["-", {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]}]}]
    }
