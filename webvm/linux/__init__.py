"""The Linux ABI: numbers and byte layouts, one file per kernel header, no behaviour. Imports nothing of webvm."""
