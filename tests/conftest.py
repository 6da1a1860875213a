"""What holds for all tests."""

import hypothesis

# A busy machine is no fault of an example's.
hypothesis.settings.register_profile("mesh", deadline=None)
hypothesis.settings.load_profile("mesh")
