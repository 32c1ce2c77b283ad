"""A program that sends three messages, as the variables of the stand-in say."""
import os
import smtplib
from email.message import EmailMessage

HTML = """<h1 style="color:#0d6f6a">Hello Ada</h1><p>please <a href="https://jotline.example/confirm/123">confirm your address</a>.</p>
<script>document.body.innerHTML = "hacked"</script><img src="http://10.0.0.1/track.png" onerror="document.body.innerHTML='hacked'">"""

for i, subject in enumerate(["Welcome to Jotline", "Your week: three notes were shared with you, and one of yours was starred", "Reset your password"]):
    m = EmailMessage()
    m["From"], m["To"], m["Subject"] = "Jötline <hello@jotline.example>", "ada@example.com", subject
    m.set_content("Hello Ada,\n\nplease confirm your address: https://jotline.example/confirm/123\n\nYours, Jötline")
    if i != 1:
        m.add_alternative(HTML, subtype="html")
    else:
        m.add_attachment("a,b\n", subtype="csv", filename="notes.csv")
    with smtplib.SMTP(os.environ["SMTP_HOST"], int(os.environ["SMTP_PORT"])) as c:
        c.send_message(m, to_addrs=["ada@example.com", "hidden@example.com"])
