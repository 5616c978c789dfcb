"""Coming in: log-in and out, the first administrator's first steps, sign-up, activation, a forgotten password.

What a visitor is told never depends on which users there are; the core answers all alike, and these pages add nothing.
"""

from __future__ import annotations

from euca_rpc.errors import EucaError
from euca_rpc.types import Profile

from ..asked import Answer, Asked, Fields, Page, Redirect
from ..safety import next_page

LONGEST_PASSWORD = 1000
OPTIONAL_FIELDS = {
    "telephone": ("Telephone", "tel"),
    "project_leader": ("Project leader", "off"),
    "affiliation": ("Affiliation", "organization"),
    "project_description": ("What is the project about?", "off"),
}


def login_page(asked: Asked) -> Answer:
    if asked.present is not None:
        return Redirect("/")
    return login_form(asked)


def login_form(asked: Asked) -> Page:
    wanted = asked.form if "proof" in asked.form else asked.query
    activation = asked.form.shown("activation")
    return Page(
        "login.html",
        {
            "next": wanted.shown("next"),
            "activation": activation,
            "sign_up": asked.core.sign_up.form().open,
            "wants_code": "code" in asked.form or "code" in asked.query,
        },
    )


def log_in(asked: Asked) -> Answer:
    form = asked.form
    made = asked.core.sessions.log_in(
        asked.visitor,
        form.line("user_name"),
        form.raw("password", LONGEST_PASSWORD),
        activation=form.line("activation"),
        code=form.line("code"),
    )
    if made.present.first_steps:
        return Redirect("/first-steps", logged_in=made)
    said = ["Your account is active now. Welcome."] if form.line("activation") else []
    if made.present.failures:
        said.append(f"{made.present.failures} log-ins under your name failed since you were here last.")
    return Redirect(next_page(form.text("next"), asked.ground.is_page), " ".join(said), made)


def log_out(asked: Asked) -> Answer:
    asked.core.sessions.log_out(asked.token)
    return Redirect("/login", "You are logged out.", logged_out=True)


# ------------------------------------------------------------------------------------------------ first steps
def first_steps_page(asked: Asked) -> Answer:
    if asked.present is None or not asked.present.first_steps:
        return Redirect("/")
    return first_steps_form(asked)


def first_steps_form(asked: Asked) -> Page:
    return Page("first_steps.html")


def first_steps(asked: Asked) -> Answer:
    password = new_password(asked.form)
    made = asked.core.sessions.first_steps(asked.visitor, asked.token, password, asked.form.line("email"))
    return Redirect("/", "The cloud is ready. People can apply for accounts now.", made)


def new_password(form: Fields) -> str:
    """Typed twice, because nobody sees it."""
    one, other = form.raw("password", LONGEST_PASSWORD), form.raw("password_again", LONGEST_PASSWORD)
    if one != other:
        raise EucaError("parameter_conflict", "The two passwords are not the same; type them again.")
    return one


# ---------------------------------------------------------------------------------------------------- sign-up
def apply_form(asked: Asked) -> Page:
    form = asked.core.sign_up.form()
    shown = [(name, *OPTIONAL_FIELDS[name]) for name in OPTIONAL_FIELDS if name in form.fields]
    return Page("apply.html", {"open": form.open, "fields": shown})


def apply(asked: Asked) -> Answer:
    password = new_password(asked.form)
    asked.core.sign_up.apply(asked.visitor, asked.form.line("user_name"), password, profile_of(asked.form))
    return Redirect("/applied")


def profile_of(form: Fields) -> Profile:
    return Profile(
        full_name=form.line("full_name"),
        email=form.line("email"),
        telephone=form.line("telephone"),
        project_leader=form.line("project_leader"),
        affiliation=form.line("affiliation"),
        project_description=form.text("project_description", 4000),
    )


def applied(asked: Asked) -> Page:
    return Page("applied.html")


def activate_page(asked: Asked) -> Answer:
    """The link of a mail.  It uses nothing up: mail scanners open links, too."""
    token = asked.query.text("token")
    if not asked.core.sign_up.link("activate", token):
        return Page("link_gone.html", {"purpose": "activate"}, 404)
    return Page("login.html", {"next": "", "activation": token, "sign_up": False, "wants_code": False})


# ------------------------------------------------------------------------------------------ forgotten password
def recover_form(asked: Asked) -> Page:
    return Page("recover.html", {"sent": False})


def recover(asked: Asked) -> Answer:
    asked.core.sign_up.recover(asked.visitor, asked.form.line("user_name"))
    return Page("recover.html", {"sent": True})


def password_form(asked: Asked) -> Page:
    token = asked.form.shown("token") or asked.query.text("token")
    if not asked.core.sign_up.link("recover", token):
        return Page("link_gone.html", {"purpose": "recover"}, 404)
    return Page("password.html", {"token": token})


def choose_password(asked: Asked) -> Answer:
    asked.core.sign_up.choose_password(asked.visitor, asked.form.line("token"), new_password(asked.form))
    return Redirect("/login", "Your new password counts now. Log in with it.", logged_out=True)
