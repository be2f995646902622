#: The version of the product. The wheel, the command line, and exports for a SIEM have it from here.
__version__ = "0.2.0"
