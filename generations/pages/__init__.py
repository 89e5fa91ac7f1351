"""The HTML pages of the generations app. Views read a form, call `services` and render a template."""
