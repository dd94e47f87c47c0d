"""Prints what huggingface_hub makes of environment variables, one case a line: huggingface_hub.json is its output.

    python huggingface_hub.py > huggingface_hub.json

Run with huggingface_hub 2.4.0 on Linux. A path that is set and empty is no case: there it means the working folder.
"""

import json
import os
import subprocess
import sys

ASK = """
import json
from huggingface_hub import constants
from huggingface_hub.utils._auth import _get_token_from_environment
print(json.dumps({
    "cache": constants.HF_HUB_CACHE,
    "token_path": constants.HF_TOKEN_PATH,
    "token": _get_token_from_environment(),
    "endpoint": constants.ENDPOINT,
    "offline": constants.HF_HUB_OFFLINE,
}))
"""

CASES = [
    {},
    {"XDG_CACHE_HOME": "/x"},
    {"XDG_CACHE_HOME": "/x", "HF_HOME": "/h"},
    {"HF_HOME": "~/hf"},
    {"HF_HOME": "~"},
    {"HF_HOME": "$BASE/hf", "BASE": "/b"},
    {"HF_HOME": "${BASE}/hf", "BASE": "/b"},
    {"HF_HOME": "$BASE.d/$NOT_SET/${ALSO-NOT}/$", "BASE": "/b"},
    {"HF_HOME": "/h/~/x"},
    {"HF_HOME": "$BASE/hf", "BASE": "~/b"},
    {"HF_HOME": "relative/hf"},
    {"HF_HOME": "/h/"},
    {"XDG_CACHE_HOME": "~/xdg"},
    {"XDG_CACHE_HOME": "$BASE", "BASE": "/b"},
    {"HUGGINGFACE_HUB_CACHE": "/legacy"},
    {"HUGGINGFACE_HUB_CACHE": "~/legacy", "HF_HOME": "/h"},
    {"HF_HUB_CACHE": "/c", "HUGGINGFACE_HUB_CACHE": "/legacy", "HF_HOME": "/h", "XDG_CACHE_HOME": "/x"},
    {"HF_HUB_CACHE": "~/c/$BASE", "BASE": "b"},
    {"HF_TOKEN_PATH": "~/t", "HF_HOME": "/h"},
    {"HF_TOKEN_PATH": "$BASE/t", "BASE": "/b"},
    {"HF_TOKEN": "abc"},
    {"HF_TOKEN": "  abc\r\n"},
    {"HF_TOKEN": "a\nbc"},
    {"HF_TOKEN": "abc", "HUGGING_FACE_HUB_TOKEN": "old"},
    {"HUGGING_FACE_HUB_TOKEN": "old\n"},
    {"HF_TOKEN": "", "HUGGING_FACE_HUB_TOKEN": "old"},
    {"HF_TOKEN": " \n ", "HUGGING_FACE_HUB_TOKEN": "old"},
    {"HF_ENDPOINT": "https://mirror.example"},
    {"HF_ENDPOINT": "https://mirror.example/hub//"},
    *({"HF_HUB_OFFLINE": value} for value in ["1", "true", "True", "YES", "on", "0", "false", "no", "off", ""]),
    *({"HF_HUB_OFFLINE": value} for value in ["2", " 1", "y", "t"]),
    {"TRANSFORMERS_OFFLINE": "1"},
    {"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "1"},
    {"HF_HUB_OFFLINE": "", "TRANSFORMERS_OFFLINE": "yes"},
]


def ask(case):
    env = {"HOME": "/home/u", "PATH": os.environ["PATH"], **case}
    answer = subprocess.run([sys.executable, "-c", ASK], env=env, capture_output=True, text=True, check=True).stdout
    return json.dumps({"env": case, **json.loads(answer)})


print("[\n" + ",\n".join("  " + ask(case) for case in CASES) + "\n]")
