"""An SMTP server (aiosmtpd) that keeps what it takes and misbehaves as it is told.

    smtp.py DIRECTORY PORT [--tls starttls|wrapped] [--auth USER PASSWORD]

Each message it takes becomes DIRECTORY/mail-<number>.json: from, to, options, tls, user and message. TLS uses cert.pem and
key.pem of DIRECTORY. DIRECTORY/behaviour is read anew at each step and says what to do at which: a line is a step, a space
and either a reply ("550 no"), "hang" or "drop". Steps: MAIL, RCPT, RCPT:<address>, DATA (the message has come and is not
taken), TAKEN (it is, but the client does not hear of it).
"""

import argparse
import asyncio
import json
import os
import ssl

from aiosmtpd.smtp import SMTP, AuthResult

arguments = argparse.ArgumentParser()
arguments.add_argument("directory")
arguments.add_argument("port", type=int)
arguments.add_argument("--tls", choices=["starttls", "wrapped"])
arguments.add_argument("--auth", nargs=2)
arguments = arguments.parse_args()


def path(name):
    return os.path.join(arguments.directory, name)


async def step(server, *names):
    """What is to be answered at a step, if it is not the usual."""
    with open(path("behaviour")) as file:
        told = dict(line.rstrip("\n").split(" ", 1) for line in file)
    act = next((told[name] for name in names if name in told), None)
    if act == "hang":
        await asyncio.sleep(3600)
    if act == "drop":
        server.transport.abort()
        return "421 gone"
    return act


class Handler:
    number = 0

    async def handle_MAIL(self, server, session, envelope, address, options):
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return await step(server, "MAIL") or "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        refusal = await step(server, f"RCPT:{address}", "RCPT")
        if refusal is None:
            envelope.rcpt_tos.append(address)
        return refusal or "250 OK"

    async def handle_DATA(self, server, session, envelope):
        refusal = await step(server, "DATA")
        if refusal is not None:
            return refusal
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "options": envelope.mail_options,
            "tls": session.ssl is not None or arguments.tls == "wrapped",
            "user": session.auth_data,
            "message": envelope.content.decode(),
        }
        with open(path("writing"), "w") as file:
            json.dump(mail, file)
        os.rename(path("writing"), path(f"mail-{Handler.number:04}.json"))
        Handler.number += 1
        return await step(server, "TAKEN") or "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    given = [data.login.decode(), data.password.decode()]
    return AuthResult(success=given == arguments.auth, handled=False, auth_data=given[0])


def protocol():
    tls = context if arguments.tls == "starttls" else None
    auth = {"auth_required": True, "authenticator": authenticate} if arguments.auth else {}
    # Its own TLS check looks for STARTTLS.
    auth["auth_require_tls"] = arguments.tls == "starttls"
    return SMTP(
        Handler(),
        hostname="mail.test",
        enable_SMTPUTF8=True,
        tls_context=tls,
        require_starttls=tls is not None,
        loop=asyncio.get_running_loop(),
        **auth,
    )


async def main():
    wrapped = context if arguments.tls == "wrapped" else None
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", arguments.port, ssl=wrapped)
    print("ready", flush=True)
    await server.serve_forever()


context = None
if arguments.tls:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path("cert.pem"), path("key.pem"))
if not os.path.exists(path("behaviour")):
    open(path("behaviour"), "w").close()
Handler.number = sum(name.startswith("mail-") for name in os.listdir(arguments.directory))
asyncio.run(main())
