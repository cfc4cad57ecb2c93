import subprocess
import sys

import pytest

from serving.process.settings import Settings, SettingsInvalid

REQUEST_MODULES = (
    "serving.api.score_app",
    "serving.checkout.checkout_scoring",
    "serving.events.event_intake",
    "serving.checkout.order_confirmation",
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
            {"BONITAS_DATABASE_URL": "mysql://x", "BONITAS_WORKERS": "none", "BONITAS_POLICY": "/no"}
        )
    for name in ("BONITAS_DATABASE_URL", "BONITAS_WORKERS", "BONITAS_POLICY"):
        assert name in str(caught.value)


def test_settings_survive_the_way_to_a_child_process_and_keep_the_password_out_of_sight() -> None:
    settings = Settings.from_env(
        {
            "BONITAS_HOME": "/srv/b",
            "BONITAS_DATABASE_URL": "postgresql://u:secret@h/b",
            "BONITAS_WORKERS": "2",
        }
    )
    assert Settings.from_env(settings.as_environ()) == settings
    assert "secret" not in repr(settings)
