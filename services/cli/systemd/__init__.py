"""systemd: units for the processes of a mesh, written from its configuration."""
