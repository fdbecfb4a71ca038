"""What credentials look like that were never declared: shapes that their issuers document. Data only.

Only what cannot be anything else: what merely looks random is left alone.
"""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    """One kind of credential. It begins with one of `opens`, and `rest` is the pattern of what follows.

    A group `keep` of `rest` is shown, such as the name of a header. While a text ends in one of `opens` and characters of
    `grows`, at most `most` of them, more text could still complete it. What begins with one of `encoded` is found in base64
    as well.
    """

    name: str
    source: str
    opens: tuple[str, ...]
    rest: str
    grows: str
    most: int = 1024
    encoded: tuple[str, ...] = ()


_WORD = r"[A-Za-z0-9_]"
_DASHED = r"[A-Za-z0-9_-]"
_DOTTED = r"[A-Za-z0-9_.-]"
_BASE64 = r"[A-Za-z0-9+/=]"
_ASSIGNED = r"""(?P<keep>\\?["']?\s{0,4}[:=]\s{0,4}\\?["']?)"""
_HEADERS = r"(?:[A-Za-z-]{1,20}:[ ][^\n\\]{1,200}(?:\n|\\n)){0,4}"
_SPACE = r"(?:[ +]|%20)"
_USER = r"""(?P<keep>[^\s/:@?#"'<>`\\,%]{0,64}:)"""
_PASSWORD = r"""(?!\*\*\*@)[^\s/@"'<>`]{1,256}(?=@)"""
_ESCAPED_URL = (
    r"(?P<keep>[A-Za-z0-9._~-]{0,64}%3[Aa])(?!\*\*\*%40)"
    r"(?:[A-Za-z0-9._~*!'()-]|%(?!40|2[Ff]|3[Aa])[0-9A-Fa-f]{2}){1,256}+(?=%40)"
)

# A word after `password:` may be prose, so a digit has to be in it; after `=` or a quotation mark a sign of its own will do.
# What begins with `$`, `%`, `*`, `<`, `{`, `(`, `[`, `/` or `@` names a place where the value is, and a call or an index gives one.
_VALUE = r"""[^\s"'`\\;&,|<>(){}\[\]]"""
_PASSWORD_ASSIGNED = (
    r"""(?P<keep>\\?["']?[ \t]{0,4}[:=][ \t]{0,4}\\?["']?)(?![$%*/@#:=.-])"""
    rf"""(?:(?<=[="'])(?={_VALUE}{{0,100}}[!@#^~?+-])|(?={_VALUE}{{0,100}}[0-9]))"""
    rf"{_VALUE}{{6,500}}+(?![({{\[])"
)

SHAPES = (
    Shape(
        # Those of installations are to become `ghs_<app>_<JWT>`, of some 520 characters.
        "GitHub token",
        "https://github.blog/2021-04-05-behind-githubs-new-authentication-token-formats/",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
        rf"{_WORD}{{36,}}(?:\.{_DASHED}{{8,}}){{0,2}}",
        _DOTTED,
        most=2048,
        encoded=("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    ),
    Shape(
        "GitHub fine-grained token",
        "https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github",
        ("github_pat_",),
        rf"{_WORD}{{40,}}",
        _WORD,
        encoded=("github_pat_",),
    ),
    Shape(
        "AWS access key id",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids",
        ("AKIA", "ASIA"),
        r"[A-Z2-7]{16}",
        r"[A-Z2-7]",
        most=16,
    ),
    Shape(
        "AWS secret access key",
        "https://docs.aws.amazon.com/STS/latest/APIReference/API_Credentials.html",
        ("SecretAccessKey", "aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
        rf"{_ASSIGNED}{_BASE64}{{40}}",
        r"""[A-Za-z0-9+/=:\s"'\\]""",
        most=64,
    ),
    Shape(
        "AWS session token",
        "https://docs.aws.amazon.com/STS/latest/APIReference/API_Credentials.html",
        ("SessionToken", "aws_session_token", "AWS_SESSION_TOKEN"),
        rf"{_ASSIGNED}{_BASE64}{{64,4000}}",
        r"""[A-Za-z0-9+/=:\s"'\\]""",
        most=4096,
    ),
    Shape(
        "GitLab token",
        "https://docs.gitlab.com/security/tokens/#token-prefixes",
        (
            *(
                "glpat-",
                "gloas-",
                "gldt-",
                "glrt-",
                "glrtr-",
                "glcbt-",
                "glptt-",
                "glft-",
                "glimt-",
                "glagent-",
                "glwt-",
            ),
            *("glsoat-", "glffct-"),
        ),
        rf"{_DASHED}{{20,}}(?:\.{_WORD}{{2,}}){{0,2}}",
        _DOTTED,
        encoded=("glpat-",),
    ),
    Shape(
        "Slack token",
        "https://docs.slack.dev/authentication/tokens",
        ("xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xapp-"),
        r"[A-Za-z0-9-]{20,}",
        r"[A-Za-z0-9-]",
        encoded=("xoxb-", "xoxp-"),
    ),
    Shape(
        "Slack webhook",
        "https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks",
        ("hooks.slack.com/services/",),
        r"(?P<keep>)T[A-Za-z0-9]{6,}/B[A-Za-z0-9]{6,}/[A-Za-z0-9]{16,}",
        r"[A-Za-z0-9/]",
    ),
    Shape(
        "JSON web token",
        "https://www.rfc-editor.org/rfc/rfc7515#section-7.1",
        ("eyJ",),
        rf"{_DASHED}{{8,300}}+\.{_DASHED}{{8,8000}}+(?:\.{_DASHED}{{16,2000}}){{1,3}}",
        _DOTTED,
        most=16_000,
    ),
    Shape(
        # As it is, as a JSON string, and escaped for a URL. What follows an unfinished one could still be of it.
        "private key",
        "https://www.rfc-editor.org/rfc/rfc7468#section-10",
        ("-----BEGIN ", "-----BEGIN%20", "-----BEGIN+"),
        rf"(?:[A-Z0-9]{{1,12}}{_SPACE}){{0,3}}PRIVATE{_SPACE}KEY(?:{_SPACE}BLOCK)?-----\s?{_HEADERS}"
        rf"[A-Za-z0-9+/=\s\\%]{{0,13000}}(?:-----END{_SPACE}[A-Z0-9 %+]{{1,60}}-----)?",
        r"[A-Za-z0-9+/=\s\\%:,-]",
        most=14_000,
        encoded=tuple(f"-----BEGIN {kind}PRIVATE KEY-----" for kind in ("", "RSA ", "EC ", "ENCRYPTED ", "OPENSSH ")),
    ),
    Shape(
        "password in an address",
        "https://www.rfc-editor.org/rfc/rfc3986#section-3.2.1",
        ("://", ":\\/\\/"),
        _USER + _PASSWORD,
        r"""[^\s/@"<>`]""",
        most=330,
    ),
    Shape(
        "password in an escaped address",
        "https://www.rfc-editor.org/rfc/rfc3986#section-2.1",
        ("%3A%2F%2F", "%3a%2f%2f"),
        _ESCAPED_URL,
        r"[A-Za-z0-9._~*!'()%-]",
        most=900,
    ),
    Shape(
        "authorization header",
        "https://www.rfc-editor.org/rfc/rfc9110#section-11.6.2",
        ("uthorization: ", "UTHORIZATION: ", 'uthorization": "', 'uthorization":"'),
        r"(?P<keep>(?:Bearer|bearer|Basic|basic|[Tt]oken) )[A-Za-z0-9._~+/=-]{8,8000}",
        r"[A-Za-z0-9._~+/= -]",
        most=8192,
    ),
    Shape(
        "npm token",
        "https://docs.npmjs.com/about-access-tokens",
        ("npm_",),
        r"[A-Za-z0-9]{36}",
        r"[A-Za-z0-9]",
        most=36,
    ),
    Shape(
        "PyPI token",
        "https://docs.pypi.org/api/secrets/",
        ("pypi-AgE",),
        rf"{_DASHED}{{50,}}",
        _DASHED,
    ),
    Shape(
        "Stripe key",
        "https://docs.stripe.com/keys",
        ("sk_live_", "rk_live_"),
        r"[A-Za-z0-9]{16,}",
        r"[A-Za-z0-9]",
    ),
    Shape(
        "Google API key",
        "https://cloud.google.com/docs/authentication/api-keys",
        ("AIza",),
        rf"{_DASHED}{{35}}",
        _DASHED,
        most=35,
    ),
    Shape(
        "Vault token",
        "https://developer.hashicorp.com/vault/docs/concepts/tokens#token-prefixes",
        ("hvs.", "hvb.", "hvr."),
        rf"{_DASHED}{{24,}}",
        _DASHED,
    ),
    Shape(
        "Docker token",
        "https://docs.docker.com/security/access-tokens/",
        ("dckr_pat_", "dckr_oat_"),
        rf"{_DASHED}{{20,}}",
        _DASHED,
    ),
    Shape(
        "Anthropic key",
        "https://github.com/gitleaks/gitleaks/blob/master/cmd/generate/config/rules/anthropic.go",
        ("sk-ant-",),
        rf"[a-z]{{2,8}}[0-9]{{2}}-{_DASHED}{{80,}}",
        _DASHED,
        most=256,
    ),
    Shape(
        "OpenAI key",
        "https://github.com/gitleaks/gitleaks/blob/master/cmd/generate/config/rules/openai.go",
        ("sk-proj-", "sk-svcacct-", "sk-admin-"),
        rf"{_DASHED}{{40,}}",
        _DASHED,
        most=512,
    ),
    Shape(
        "Hugging Face token",
        "https://huggingface.co/docs/hub/security-tokens",
        ("hf_",),
        r"[A-Za-z0-9]{34,40}",
        r"[A-Za-z0-9]",
        most=40,
    ),
    Shape(
        "SendGrid key",
        "https://www.twilio.com/docs/sendgrid/ui/account-and-settings/api-keys",
        ("SG.",),
        rf"{_DASHED}{{20,24}}\.{_DASHED}{{39,50}}",
        _DOTTED,
        most=75,
    ),
    Shape(
        "DigitalOcean token",
        "https://docs.digitalocean.com/release-notes/2022/api-token-format/",
        ("dop_v1_", "doo_v1_", "dor_v1_"),
        r"[0-9a-f]{64}",
        r"[0-9a-f]",
        most=64,
    ),
    Shape(
        "Azure storage key",
        "https://learn.microsoft.com/en-us/azure/storage/common/storage-configure-connection-string",
        ("AccountKey=",),
        r"(?P<keep>)[A-Za-z0-9+/]{86}==",
        _BASE64,
        most=88,
    ),
    Shape(
        "password that is assigned",
        "https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-KEYWORD-VALUE",
        ("password", "Password", "PASSWORD", "passwd", "PASSWD"),
        _PASSWORD_ASSIGNED,
        r"[^\n;&,|<>(){}\[\]`]",
        most=520,
    ),
)
"""Every shape that is known. `+` of a pattern is bounded by `most`: no credential is longer."""
