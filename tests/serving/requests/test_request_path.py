import subprocess
import sys

import pytest

from serving.process.settings import SETTINGS, Settings, SettingsInvalid

REQUEST_MODULES = (
    "serving.api.score_app",
    "serving.checkout.checkout_scoring",
    "serving.events.event_intake",
    "serving.checkout.order_steps",
)


def test_the_request_path_imports_no_data_frames_no_training_and_no_batch_validation() -> None:
    # LightGBM itself imports pandas and scikit-learn where they are installed; our own modules must not.
    script = (
        "import sys, types\n"
        "class Nothing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'pandas', 'sklearn', 'great_expectations', 'mlflow'}:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Nothing())\n"
        f"for module in {REQUEST_MODULES!r}: __import__(module)\n"
        "assert not {'pandas', 'sklearn', 'great_expectations', 'mlflow', 'training'} & set(sys.modules)\n"
    )
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_settings_name_every_wrong_variable_at_once() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        Settings.from_env(
            {"BONITAS_DATABASE_URL": "mysql://x", "BONITAS_WORKERS": "none", "BONITAS_BENCHMARK": "no"}
        )
    for name in ("BONITAS_DATABASE_URL", "BONITAS_WORKERS", "BONITAS_BENCHMARK"):
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("BONITAS_WORKERS", "none", "must be a whole number from 1 on, not 'none'"),
        ("BONITAS_WORKERS", "1.5", "must be a whole number from 1 on, not '1.5'"),
        ("BONITAS_WORKERS", "0", "must be a whole number from 1 on, not '0'"),
        ("BONITAS_WORKERS", "nan", "must be a whole number from 1 on, not 'nan'"),
        ("BONITAS_WORKERS", "inf", "must be a whole number from 1 on, not 'inf'"),
        ("BONITAS_MODEL_POLL_SECONDS", "0", "must be a number above 0, not '0'"),
        ("BONITAS_MODEL_POLL_SECONDS", "inf", "must be a number above 0, not 'inf'"),
        ("BONITAS_HEAD_SECONDS", "61", "must be a number above 0, at most 60, not '61'"),
        ("BONITAS_BODY_SECONDS", "4", "must be a number above 0, at most 3.5, not '4'"),
        ("BONITAS_PUBLIC_URL", "shop.example", "must begin with https:// or http://, not 'shop.example'"),
        ("BONITAS_MAIL_SENDER", "risk", "must be an e-mail address, not 'risk'"),
        ("BONITAS_BENCHMARK", "yes", "must be 0 or 1, not 'yes'"),
        # These may hold a password, so what they say is told to nobody.
        ("BONITAS_DATABASE_URL", "mysql://u:secret@h", "must begin with sqlite:/// or postgresql://"),
        ("BONITAS_MAIL_URL", "http://u:secret@h", "must begin with smtp:// or smtps://"),
    ],
)
def test_a_wrong_setting_is_told_with_its_rule(name: str, text: str, rule: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        Settings.from_env({name: text})
    assert str(caught.value) == f"{name} {rule}"


def test_a_setting_that_is_empty_counts_as_not_set() -> None:
    assert Settings.from_env({setting.name: "" for setting in SETTINGS}) == Settings.from_env({})


def test_what_is_not_set_lies_in_the_home_or_is_the_default_that_the_table_names() -> None:
    settings = Settings.from_env({"BONITAS_HOME": "/srv/b"})
    assert settings.database_url == "sqlite:////srv/b/bonitas.db"
    assert settings.mlflow_uri == "sqlite:////srv/b/mlflow.db"
    told = {setting.name: setting.default_text() for setting in SETTINGS if setting.default_text()}
    written = {name: text.replace("$BONITAS_HOME", "/srv/b") for name, text in told.items()}
    assert settings.as_environ() == written | {"BONITAS_HOME": "/srv/b"}


def test_settings_survive_the_way_to_a_child_process_and_keep_the_password_out_of_sight() -> None:
    settings = Settings.from_env(
        {
            "BONITAS_HOME": "/srv/b",
            "BONITAS_DATABASE_URL": "postgresql://u:secret@h/b",
            "BONITAS_WORKERS": "2",
            "BONITAS_PUBLIC_URL": "https://shop.example/",
            "BONITAS_MAIL_URL": "smtp://u:secret@h",
            "BONITAS_BENCHMARK": "1",
        }
    )
    assert Settings.from_env(settings.as_environ()) == settings
    assert "secret" not in repr(settings)
