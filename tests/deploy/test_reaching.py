"""How the API is reached: by its domain alone, by pages of known origins, through a firewall."""

from typing import Any

from tests.support.templates import Template, of_type

_ANY = {"Fn::Equals": [{"Fn::Join": [",", {"Ref": "AllowedOrigins"}]}, "*"]}


def _preflights(template: Template) -> list[dict[str, Any]]:
    paths = template["Resources"]["RestAPI"]["Properties"]["Body"]["paths"]
    return [path["options"] for path in paths.values() if "options" in path]


def test_with_a_domain_the_gateways_own_name_answers_nobody(native: Template) -> None:
    body = native["Resources"]["RestAPI"]["Properties"]["Body"]
    closed = body["x-amazon-apigateway-endpoint-configuration"]["disableExecuteApiEndpoint"]
    assert closed == {"Fn::If": ["ClosesEndpoint", True, False]}
    assert {"Condition": "HasDomainName"} in native["Conditions"]["ClosesEndpoint"]["Fn::And"]
    assert native["Parameters"]["KeepApiEndpoint"]["Default"] == "false"


def test_the_cdn_and_the_deployment_call_the_api_by_a_name_that_answers(native: Template) -> None:
    config = native["Resources"]["Site"]["Properties"]["DistributionConfig"]
    (origin,) = [one for one in config["Origins"] if one["Id"] == "api"]
    assert origin["DomainName"]["Fn::If"][:2] == ["ClosesEndpoint", {"Ref": "DomainName"}]
    assert origin["OriginPath"]["Fn::If"][:2] == ["ClosesEndpoint", {"Ref": "AWS::NoValue"}]
    assert native["Outputs"]["OwnUrl"]["Value"]["Fn::If"][:2] == [
        "ClosesEndpoint",
        {"Fn::Sub": "https://${DomainName}"},
    ]


def test_each_preflight_names_a_known_origin_only(native: Template) -> None:
    assert native["Conditions"]["AnyOrigin"] == _ANY
    preflights = _preflights(native)
    assert len(preflights) > 30
    for preflight in preflights:
        for answer in preflight["x-amazon-apigateway-integration"]["responses"].values():
            allowed = answer["responseParameters"]["method.response.header.Access-Control-Allow-Origin"]
            assert allowed == {"Fn::If": ["AnyOrigin", "'*'", {"Ref": "AWS::NoValue"}]}
            condition, nothing, limited = answer["responseTemplates"]["Fn::If"]
            assert (condition, nothing) == ("AnyOrigin", {"Ref": "AWS::NoValue"})
            text, given = limited["application/json"]["Fn::Sub"]
            assert given == {"Origins": {"Fn::Join": [",", {"Ref": "AllowedOrigins"}]}}
            assert text.count("#if") == text.count("#end") == 2
            assert "responseOverride.header.Access-Control-Allow-Origin = $origin" in text


def test_no_preflight_offers_the_header_of_the_local_stages_users(native: Template) -> None:
    assert "If-None-Match" in str(_preflights(native))
    assert "X-Landfall-User" not in str(native)


def test_the_page_signs_in_with_the_user_pool_if_there_is_one(native: Template) -> None:
    for function in of_type(native, "AWS::Lambda::Function").values():
        client_id = function["Properties"]["Environment"]["Variables"]["LANDFALL_OIDC_CLIENT_ID"]
        assert client_id == {"Fn::If": ["HasUserPool", {"Ref": "UserPoolClient"}, {"Ref": "OidcClientId"}]}


def test_the_cdn_says_where_its_viewers_are_and_proves_that_it_is_the_cdn(native: Template) -> None:
    config = native["Resources"]["Site"]["Properties"]["DistributionConfig"]
    (origin,) = [one for one in config["Origins"] if one["Id"] == "api"]
    condition, headers, nothing = origin["OriginCustomHeaders"]["Fn::If"]
    assert (condition, nothing) == ("CdnProves", {"Ref": "AWS::NoValue"})
    assert headers == [{"HeaderName": "X-Landfall-Cdn", "HeaderValue": {"Ref": "CdnSecret"}}]
    assert native["Parameters"]["CdnSecret"]["NoEcho"] is True
    (behavior,) = config["CacheBehaviors"]
    _, (association,), _ = behavior["FunctionAssociations"]["Fn::If"]
    assert association["EventType"] == "viewer-request"
    viewer = native["Resources"]["SiteViewer"]
    assert viewer["Condition"] == "CdnProves"
    assert 'headers["x-landfall-viewer"] = { value: event.viewer.ip }' in viewer["Properties"]["FunctionCode"]
    for name, function in of_type(native, "AWS::Lambda::Function").items():
        variables = function["Properties"]["Environment"]["Variables"]
        assert variables["LANDFALL_CDN_SECRET_HASH"] == {"Ref": "CdnSecretHash"}, name
        assert "CdnSecret'" not in str(function), "no function knows the secret itself"


def test_functions_know_the_same_origins(native: Template) -> None:
    for name, function in of_type(native, "AWS::Lambda::Function").items():
        variables = function["Properties"]["Environment"]["Variables"]
        assert variables["LANDFALL_ORIGINS"] == {"Fn::Join": [",", {"Ref": "AllowedOrigins"}]}, name


def test_a_web_acl_is_put_before_the_api_and_the_page(native: Template) -> None:
    association = native["Resources"]["ApiWebAcl"]
    assert association["Condition"] == "HasWebAcl"
    assert association["Properties"]["WebACLArn"] == {"Ref": "WebAclArn"}
    assert "/stages/" in association["Properties"]["ResourceArn"]["Fn::Sub"]
    config = native["Resources"]["Site"]["Properties"]["DistributionConfig"]
    assert config["WebACLId"] == {"Fn::If": ["HasSiteWebAcl", {"Ref": "SiteWebAclArn"}, {"Ref": "AWS::NoValue"}]}
