"""The commands, one file each; `gateway.cli.parser` lists them."""
