"""What somebody who looks afterwards finds: access logs, traces, failed runs of the clock."""

import json
import re

from tests.support.templates import Template, of_type, statements_of


def test_the_api_logs_each_request_as_json_without_the_secrets_of_share_links(native: Template) -> None:
    (stage,) = of_type(native, "AWS::ApiGateway::Stage").values()
    setting = stage["Properties"]["AccessLogSetting"]
    assert setting["DestinationArn"] == {"Fn::GetAtt": ["ApiAccessLogs", "Arn"]}
    line = json.loads(setting["Format"])
    assert {"request_id", "ip", "method", "route", "status"} <= set(line)
    # A share link's path and a query hold secrets.
    assert not [value for value in line.values() if re.search(r"context[.](path|customDomain|requestOverride)", value)]


def test_the_account_keeps_the_role_that_api_gateway_logs_in(native: Template) -> None:
    # The stage names the log group, so the role is there before the stage.
    (tag,) = native["Resources"]["ApiAccessLogs"]["Properties"]["Tags"]
    assert tag["Value"]["Fn::If"][:2] == ["MakesApiLogsRole", {"Ref": "ApiLogsAccount"}]
    for name in ("ApiLogsAccount", "ApiLogsRoleOfAccount"):
        item = native["Resources"][name]
        assert (item["Condition"], item["DeletionPolicy"]) == ("MakesApiLogsRole", "RetainExceptOnCreate")
    assert native["Conditions"]["MakesApiLogsRole"] == {"Fn::Equals": [{"Ref": "ApiLogsRole"}, "make"]}


def test_requests_are_traced_from_the_gateway_into_the_function(native: Template) -> None:
    (stage,) = of_type(native, "AWS::ApiGateway::Stage").values()
    assert stage["Properties"]["TracingEnabled"] == {"Fn::If": ["Traces", True, False]}
    mode = native["Resources"]["APIHandler"]["Properties"]["TracingConfig"]["Mode"]
    assert mode == {"Fn::If": ["Traces", "Active", "PassThrough"]}
    may = {action for name, one in statements_of(native) if name == "ApiHandlerRole" for action in one["Action"]}
    assert {"xray:PutTraceSegments", "xray:PutTelemetryRecords"} <= may


def test_a_run_of_the_clock_that_fails_is_kept_and_told(native: Template) -> None:
    queue = {"Fn::GetAtt": ["MissedRunsQueue", "Arn"]}
    rules = of_type(native, "AWS::Events::Rule")
    assert len(rules) == 5
    for name, rule in rules.items():
        for target in rule["Properties"]["Targets"]:
            assert target["DeadLetterConfig"] == {"Arn": queue}, name

    scheduled = {
        target["Arn"]["Fn::GetAtt"][0]
        for rule in rules.values()
        for target in rule["Properties"]["Targets"]
        if "Fn::GetAtt" in target["Arn"]
    }
    told = {
        config["Properties"]["FunctionName"]["Ref"]
        for config in of_type(native, "AWS::Lambda::EventInvokeConfig").values()
        if config["Properties"]["DestinationConfig"]["OnFailure"]["Destination"] == queue
    }
    assert scheduled == told == {"InspectPending", "Work", "Maintain", "FetchKeys"}
    for function in scheduled:
        role = native["Resources"][function]["Properties"]["Role"]["Fn::GetAtt"][0]
        assert [one for name, one in statements_of(native) if name == role and one["Resource"] == queue], function

    alarm = native["Resources"]["MissedRunsAlarm"]["Properties"]
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": {"Fn::GetAtt": ["MissedRunsQueue", "QueueName"]}}]
