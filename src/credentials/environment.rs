//! Access keys in environment variables.

use super::{Credentials, CredentialsError};

const SOURCE: &str = "environment";
const ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
const TOKEN: &str = "AWS_SESSION_TOKEN";

/// Reads `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`; empty is unset.
///
/// Errors where neither key is set, where one of the pair is missing, and where a value cannot be
/// what AWS has issued. The error names what is wrong and shows no value. A `lookup` gives `None` for
/// what is not valid Unicode, which no key is.
/// [Static credentials](https://docs.aws.amazon.com/sdkref/latest/guide/feature-static-credentials.html)
pub(crate) fn from_environment(
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Credentials, CredentialsError> {
    let set = |name| lookup(name).filter(|value| !value.is_empty());
    let problem = match (set(ID), set(SECRET)) {
        (Some(id), Some(secret)) => {
            let credentials = Credentials::new(id, secret).and_then(|pair| match set(TOKEN) {
                Some(token) => pair.session_token(token),
                None => Ok(pair),
            });
            match credentials {
                Ok(credentials) => return Ok(credentials),
                Err(invalid) => invalid.to_string(),
            }
        }
        (Some(_), None) => [ID, " is set but ", SECRET, " is not"].concat(),
        (None, Some(_)) => [SECRET, " is set but ", ID, " is not"].concat(),
        (None, None) => {
            let problem = [ID, " and ", SECRET, " are not set"].concat();
            return Err(CredentialsError::new(SOURCE, problem));
        }
    };
    Err(CredentialsError::broken(SOURCE, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Credentials, String> {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        from_environment(&lookup).map_err(|error| error.to_string())
    }

    #[test]
    fn a_pair_with_and_without_a_token() {
        let pair = read(&[(ID, "AKID"), (SECRET, "s3cret"), (TOKEN, "")]).unwrap();
        assert_eq!(pair.access_key_id(), "AKID");
        assert_eq!(pair.as_aws().secret_access_key(), "s3cret");
        assert_eq!(pair.as_aws().session_token(), None);
        let with = read(&[(ID, "AKID"), (SECRET, "s3cret"), (TOKEN, "t0ken")]).unwrap();
        assert_eq!(with.as_aws().session_token(), Some("t0ken"));
    }

    #[test]
    fn what_is_missing_or_broken_is_named() {
        let neither =
            "no credentials: environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set)";
        let no_secret = "no credentials: environment (AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not)";
        let no_id = "no credentials: environment (AWS_SECRET_ACCESS_KEY is set but AWS_ACCESS_KEY_ID is not)";
        let space = "no credentials: environment (the secret access key has whitespace in it)";
        let token = "no credentials: environment (the session token has whitespace in it)";
        for (variables, message) in [
            (&[][..], neither),
            (&[(TOKEN, "t0ken")], neither),
            (&[(ID, ""), (SECRET, "")], neither),
            (&[(ID, "AKID")], no_secret),
            (&[(ID, "AKID"), (SECRET, "")], no_secret),
            (&[(SECRET, "s3cret")], no_id),
            (&[(ID, ""), (SECRET, "s3cret"), (TOKEN, "t0ken")], no_id),
            (&[(ID, "AKID"), (SECRET, "s3cret\n")], space),
            (
                &[(ID, "AKID"), (SECRET, "s3cret"), (TOKEN, "t0ken\n")],
                token,
            ),
        ] {
            assert_eq!(read(variables).unwrap_err(), message);
        }
    }
}
