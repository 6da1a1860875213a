"""Whether the mesh has become dearer: its CPU as a ratio to that of its bare skeleton, measured in the same run."""
