"""Run folders: what lies in them, and who may write."""
