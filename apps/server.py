"""What the web page's server is told when `striate app` starts it."""

from __future__ import annotations

from .brand import INK, TEXT

MAX_UPLOAD_MB = 16

# What the server is told. Streamlit's own defaults take 200 MB uploads, watch every file that torch brings along, show
# tracebacks to visitors and send usage statistics to its makers.
SETTINGS: dict[str, str | int | bool] = {
    "server.headless": True,
    "server.fileWatcherType": "none",
    "server.runOnSave": False,
    "server.maxUploadSize": MAX_UPLOAD_MB,
    "server.enableXsrfProtection": True,
    "server.showEmailPrompt": False,
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",
    "client.toolbarMode": "minimal",
    "theme.base": "light",
    "theme.primaryColor": INK,
    "theme.backgroundColor": "#ffffff",
    "theme.secondaryBackgroundColor": "#f1f5f4",
    "theme.textColor": TEXT,
    "theme.borderColor": "#d5dedc",
    "theme.baseRadius": "0.5rem",
    "theme.baseFontSize": 15,
    "theme.headingFontSizes": '["1.7rem", "1.4rem", "1.1rem"]',
    "theme.metricValueFontSize": "1.35rem",
    "theme.paddingTop": "0.75rem",
    "theme.sidebar.paddingTop": "0.25rem",
}


def flags(host: str, port: int) -> list[str]:
    """Return the server's settings as Streamlit's command line takes them."""
    settings = {**SETTINGS, "server.address": host, "server.port": port}
    return [f"--{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in settings.items()]
