"""The login page: Django's own, with a limit on guessing."""

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpResponse

from accounts.login_throttle import LoginForm


class Login(LoginView):
    template_name = "pages/login.html"
    redirect_authenticated_user = True
    form_class = LoginForm

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_invalid(form)
        if isinstance(form, LoginForm) and form.wait_seconds:
            response.status_code = 429
            response.headers["Retry-After"] = str(form.wait_seconds)
        return response
