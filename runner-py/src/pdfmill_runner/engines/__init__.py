"""The engines that come with the package: one small file with one class each."""
