"""What every test here may use; nodes, sessions, keyspaces and stores come from `cassorm.testing.plugin`."""

pytest_plugins = ["pytester"]
