"""The smallest application for a Session Cluster.

session-cluster up --app hello:app          in this folder
APP=hello:app docker compose up             in the folder of compose.yaml
"""

from flask import Flask, session

from nodes.sessions import Sessions

app = Flask(__name__)
Sessions.from_environment(app)


@app.get("/")
def hello() -> dict[str, int]:
    session["visits"] = session.get("visits", 0) + 1
    return {"visits": session["visits"]}
