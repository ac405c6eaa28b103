"""Routes from a file: TOML → checked values → conditions and handlers; and which state of the file is in force."""
