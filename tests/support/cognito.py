"""Users of a stage's own user pool, and the tokens that Cognito makes for them."""

from typing import Any

_PASSWORD = "Correct-Horse-42-Battery"


def sign_in(cognito: Any, outputs: dict[str, str], email: str) -> str:
    """Make a user of the pool that a stage's outputs name, and sign in: an access token.

    Args:
        cognito: a client of ``cognito-idp``.
    """
    pool = outputs["UserPoolId"]
    cognito.admin_create_user(
        UserPoolId=pool,
        Username=email,
        MessageAction="SUPPRESS",
        UserAttributes=[{"Name": "email", "Value": email}, {"Name": "email_verified", "Value": "true"}],
    )
    cognito.admin_set_user_password(UserPoolId=pool, Username=email, Password=_PASSWORD, Permanent=True)
    answer = cognito.admin_initiate_auth(
        UserPoolId=pool,
        ClientId=outputs["UserPoolClientId"],
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": email, "PASSWORD": _PASSWORD},
    )
    return str(answer["AuthenticationResult"]["AccessToken"])
