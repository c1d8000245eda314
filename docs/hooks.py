"""What the site needs beyond its settings."""


def on_page_markdown(markdown: str, **_: object) -> str:
    """Pages that stand elsewhere in the repository, too, name pictures by their place there; here they are beside."""
    return markdown.replace("../../docs/", "../../")
