"""`python -m streamtts` is the `streamtts` command."""

from streamtts.cli import main

raise SystemExit(main())
