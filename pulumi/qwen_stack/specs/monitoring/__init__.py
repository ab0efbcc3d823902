"""The servers of monitoring: what each of them runs, reads and keeps."""
