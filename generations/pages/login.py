"""The login page: Django's own view, with the form that limits the number of attempts."""

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpResponse

from accounts.login_throttle import LoginForm


class Login(LoginView):
    template_name = "pages/login.html"
    redirect_authenticated_user = True
    form_class = LoginForm

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """Answer 429 instead of 200 if the login was rejected for too many attempts."""
        response = super().form_invalid(form)
        if isinstance(form, LoginForm) and form.wait_seconds:
            response.status_code = 429
            response.headers["Retry-After"] = str(form.wait_seconds)
        return response
