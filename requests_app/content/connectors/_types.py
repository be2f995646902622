"""Media types by file name. They are the same on every machine, because the operating system's table is not used."""

from requests_app.content.connectors.base import UNKNOWN_MEDIA_TYPE

_OPENXML = "application/vnd.openxmlformats-officedocument"
_BY_EXTENSION = {
    "txt": "text/plain",
    "log": "text/x-log",
    "md": "text/markdown",
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "json": "application/json",
    "xml": "application/xml",
    "html": "text/html",
    "htm": "text/html",
    "svg": "image/svg+xml",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "bmp": "image/bmp",
    "pdf": "application/pdf",
    "eml": "message/rfc822",
    "doc": "application/msword",
    "xls": "application/vnd.ms-excel",
    "ppt": "application/vnd.ms-powerpoint",
    "docx": f"{_OPENXML}.wordprocessingml.document",
    "xlsx": f"{_OPENXML}.spreadsheetml.sheet",
    "pptx": f"{_OPENXML}.presentationml.presentation",
    "odt": "application/vnd.oasis.opendocument.text",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "rtf": "application/rtf",
    "zip": "application/zip",
    "gz": "application/gzip",
    "ics": "text/calendar",
    "mp4": "video/mp4",
    "mp3": "audio/mpeg",
}


def media_type_of(filename: str) -> str:
    """Return the media type for a file name's extension. For an unknown extension, return the type of unknown bytes."""
    stem, dot, extension = filename.rpartition(".")
    return _BY_EXTENSION.get(extension.lower(), UNKNOWN_MEDIA_TYPE) if dot and stem else UNKNOWN_MEDIA_TYPE


def extension_of(media_type: str) -> str:
    """Return the file name extension for a media type, or an empty string if the type is unknown."""
    return next((f".{extension}" for extension, known in _BY_EXTENSION.items() if known == media_type), "")
